-- Partitions of `events`: a day each; what has no day of its own lies in `events_other`.

CREATE TABLE inopsio_chunks.events_other PARTITION OF events DEFAULT;
ALTER TABLE inopsio_chunks.events_other ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON inopsio_chunks.events_other
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
-- Retention deletes here row by row; whole days are dropped.
CREATE POLICY retention ON inopsio_chunks.events_other TO inopsio_owner USING (true);

-- Make the partition of one UTC day. False: none was made and the day's events go to events_other,
-- because that holds rows of the day already, or too many days exist. The last 90 days always get
-- theirs: nobody's odd clock can use up today's place.
CREATE FUNCTION ensure_event_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = inopsio, pg_temp AS $$
DECLARE
    part text := 'events_' || to_char(day, 'YYYYMMDD');
    made bigint;
    policy text := 'tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')';
BEGIN
    IF day < date '1970-01-01' OR day > date '2999-12-31' THEN
        RETURN false;
    END IF;
    IF to_regclass('inopsio_chunks.' || quote_ident(part)) IS NOT NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('inopsio.event_days', 0));
    IF to_regclass('inopsio_chunks.' || quote_ident(part)) IS NOT NULL THEN
        RETURN true;
    END IF;
    SELECT count(*) INTO made FROM pg_inherits WHERE inhparent = 'inopsio.events'::regclass;
    IF made > 400 AND (day < current_date - 90 OR day > current_date + 1) THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'CREATE TABLE inopsio_chunks.%I PARTITION OF inopsio.events '
        'FOR VALUES FROM (%L) TO (%L)',
        part, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
    );
    EXECUTE format(
        'ALTER TABLE inopsio_chunks.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part
    );
    EXECUTE format(
        'CREATE POLICY tenant ON inopsio_chunks.%I USING (%s) WITH CHECK (%s)', part, policy, policy
    );
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN false;
END $$;
REVOKE ALL ON FUNCTION ensure_event_day(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_event_day(date) TO inopsio_writer;
