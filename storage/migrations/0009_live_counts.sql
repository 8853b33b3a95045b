-- How many events arrived from which source, in steps of 10 s and of a minute, by the clock of the
-- database: what the console shows live. Old rows are trimmed by the sink that writes them.
CREATE TABLE source_rates (
    tenant_id text NOT NULL,
    source text NOT NULL,
    bucket_s integer NOT NULL CHECK (bucket_s IN (10, 60)),
    bucket timestamptz NOT NULL,
    events bigint NOT NULL,
    newest timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, bucket_s, bucket, source)
);

-- How many events happened in which hour, by their own time: replayed logs are as old as they are.
CREATE TABLE event_hours (
    tenant_id text NOT NULL,
    hour timestamptz NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, hour)
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['source_rates', 'event_hours'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT ON source_rates, event_hours TO inopsio_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON source_rates, event_hours TO inopsio_writer;

-- The queue: newest arrivals, the gravest, one rule's or one entity's.
CREATE INDEX findings_arrived ON findings (tenant_id, created_at DESC) WHERE kind = 'finding';
CREATE INDEX findings_group ON findings (tenant_id, rule_id, entity_type, entity, "time" DESC)
    WHERE kind = 'finding';
