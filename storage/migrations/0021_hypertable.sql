-- Where TimescaleDB is there, `events` becomes a hypertable: a chunk is a day, with the same name, schema
-- and policy as a partition of plain PostgreSQL has, so that the rest of the house sees no difference.

-- Make the chunk of a time as the owner of `events`, name it, and hold it to its policy: grants come
-- to chunks by themselves, policies do not. FORCE is not to be had for a chunk; its owner cannot log
-- in. (The Apache edition makes no chunk without a row.)
CREATE FUNCTION make_event_chunk(at timestamptz, part text) RETURNS void
LANGUAGE plpgsql SET search_path = inopsio, pg_temp AS $$
DECLARE
    chunk regclass;
    policy text := 'tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')';
BEGIN
    INSERT INTO events (tenant_id, event_id, "time", class_uid) VALUES ('-', gen_random_uuid(), at, 0);
    DELETE FROM events WHERE tenant_id = '-' AND "time" = at RETURNING tableoid::regclass INTO chunk;
    EXECUTE format('ALTER TABLE %s RENAME TO %I', chunk, part);
    EXECUTE format('ALTER TABLE inopsio_chunks.%I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format(
        'CREATE POLICY tenant ON inopsio_chunks.%I USING (%s) WITH CHECK (%s)', part, policy, policy
    );
END $$;
REVOKE ALL ON FUNCTION make_event_chunk(timestamptz, text) FROM PUBLIC;

-- Make what everything older than 90 days shares: two wide chunks, so that nobody's odd clock can make
-- a chunk for each day of the past. A chunk is as wide as its neighbours leave it.
CREATE FUNCTION make_event_rest() RETURNS void
LANGUAGE plpgsql SET search_path = inopsio, pg_temp AS $$
DECLARE
    place text;  -- the extension's schema
    first_day date;
    part text;
BEGIN
    IF to_regclass('inopsio_chunks.events_other') IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT n.nspname INTO place FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb';
    SELECT least(current_date - 90, min((range_start AT TIME ZONE 'UTC')::date)) INTO first_day
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'inopsio' AND hypertable_name = 'events' AND range_start >= 'epoch';
    part := 'events_' || to_char(first_day, 'YYYYMMDD');
    IF to_regclass('inopsio_chunks.' || quote_ident(part)) IS NULL THEN
        PERFORM make_event_chunk(first_day::timestamp AT TIME ZONE 'UTC', part);
    END IF;
    EXECUTE format(
        'SELECT %I.set_chunk_time_interval(''inopsio.events'', interval ''1800000 days'')', place
    );
    PERFORM make_event_chunk((first_day - 1)::timestamp AT TIME ZONE 'UTC', 'events_other');
    IF to_regclass('inopsio_chunks.events_before') IS NULL THEN
        PERFORM make_event_chunk(timestamptz '1969-12-31 00:00:00+00', 'events_before');
    END IF;
    EXECUTE format('SELECT %I.set_chunk_time_interval(''inopsio.events'', interval ''1 day'')', place);
END $$;
REVOKE ALL ON FUNCTION make_event_rest() FROM PUBLIC;

DO $$
DECLARE
    place text;
    part record;
BEGIN
    SELECT n.nspname INTO place FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb';
    IF place IS NULL THEN
        RETURN;
    END IF;

    FOR part IN SELECT inhrelid::regclass AS old, relname FROM pg_inherits JOIN pg_class AS c
        ON c.oid = inhrelid WHERE inhparent = 'inopsio.events'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME TO %I', part.old, 'old_' || part.relname);
    END LOOP;
    ALTER TABLE events RENAME TO old_events;
    ALTER INDEX events_pkey RENAME TO old_events_pkey;
    ALTER INDEX events_host RENAME TO old_events_host;
    CREATE TABLE events (LIKE old_events INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, "time", event_id));
    CREATE INDEX events_host ON events (tenant_id, hostname, "time");
    EXECUTE format(
        'SELECT %I.create_hypertable(''inopsio.events'', ''time'', '
        'associated_schema_name => ''inopsio_chunks'', associated_table_prefix => ''events'', '
        'chunk_time_interval => interval ''1 day'', create_default_indexes => false)', place
    );
    ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON events
        USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
        WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
    CREATE POLICY chunks ON events TO inopsio_owner USING (true) WITH CHECK (true);
    GRANT SELECT ON events TO inopsio_app;
    GRANT INSERT ON events TO inopsio_writer;

    PERFORM make_event_rest();
    ALTER TABLE old_events NO FORCE ROW LEVEL SECURITY;
    FOR part IN SELECT DISTINCT ("time" AT TIME ZONE 'UTC')::date AS day FROM old_events
        WHERE "time" >= (current_date - 89)::timestamp AT TIME ZONE 'UTC'
    LOOP
        PERFORM make_event_chunk(
            part.day::timestamp AT TIME ZONE 'UTC', 'events_' || to_char(part.day, 'YYYYMMDD')
        );
    END LOOP;
    INSERT INTO events SELECT * FROM old_events;
    DROP TABLE old_events;
END $$;

-- As before for plain PostgreSQL; for a hypertable the chunk of the day, if it has none.
CREATE OR REPLACE FUNCTION ensure_event_day(day date) RETURNS boolean
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
    IF (SELECT relkind = 'r' FROM pg_class WHERE oid = 'inopsio.events'::regclass) THEN
        PERFORM make_event_rest();
        IF EXISTS (
            SELECT FROM timescaledb_information.chunks
            WHERE hypertable_schema = 'inopsio' AND hypertable_name = 'events'
            AND range_start < (day + 1)::timestamp AT TIME ZONE 'UTC'
            AND range_end > day::timestamp AT TIME ZONE 'UTC'
        ) THEN
            RETURN false;
        END IF;
        PERFORM make_event_chunk(day::timestamp AT TIME ZONE 'UTC', part);
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
