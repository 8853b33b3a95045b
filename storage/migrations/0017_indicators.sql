-- What feeds call hostile, a tenant at a time; the flows match events against it.
CREATE TABLE indicators (
    tenant_id text NOT NULL REFERENCES tenants,
    type text NOT NULL CHECK (length(type) <= 20),
    value text NOT NULL CHECK (length(value) BETWEEN 1 AND 2048),
    feed text NOT NULL CHECK (length(feed) BETWEEN 1 AND 100),
    valid_from timestamptz NOT NULL,
    valid_until timestamptz CHECK (valid_until > valid_from),
    confidence integer NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    labels text[] NOT NULL DEFAULT '{}',
    tlp text NOT NULL DEFAULT '' CHECK (length(tlp) <= 20),
    pattern_id text NOT NULL DEFAULT '' CHECK (length(pattern_id) <= 200),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, type, value, feed)
);
CREATE INDEX indicators_feed ON indicators (tenant_id, feed);
CREATE TABLE indicator_marks (
    tenant_id text PRIMARY KEY REFERENCES tenants,
    mark bigint NOT NULL DEFAULT 1
);
DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['indicators', 'indicator_marks'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON indicators TO inopsio_app;
GRANT SELECT, INSERT, UPDATE ON indicator_marks TO inopsio_app;
GRANT SELECT ON indicators, indicator_marks TO inopsio_writer;
