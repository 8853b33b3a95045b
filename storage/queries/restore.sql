-- After a restore: what a dump cannot carry.

-- name: events_settle
-- Make the hot table again as this server keeps it: a hypertable's dump comes back as tables that
-- inherit, which nobody could write to; and partitions become a hypertable where TimescaleDB is there.
-- Columns, keys, indexes, policies and grants are taken from the table as it came back.
DO $$
DECLARE
    old regclass := to_regclass('inopsio.events');
    form "char";
    place text;  -- TimescaleDB's schema
    part record;
    columns text;
BEGIN
    -- Older than both forms: the migrations that are still to come do it.
    IF old IS NULL OR to_regprocedure('inopsio.make_event_chunk(timestamptz, text)') IS NULL THEN
        RETURN;
    END IF;
    SELECT relkind INTO form FROM pg_class WHERE oid = old;
    SELECT n.nspname INTO place FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb';
    IF place IS NULL AND form = 'p' THEN
        RETURN;
    END IF;
    IF place IS NOT NULL THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO inopsio_owner', place);
        PERFORM FROM timescaledb_information.hypertables
        WHERE hypertable_schema = 'inopsio' AND hypertable_name = 'events';
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;

    CREATE SCHEMA inopsio_came_back AUTHORIZATION inopsio_owner;
    SET LOCAL ROLE inopsio_owner;
    SET LOCAL search_path = inopsio, pg_temp;
    FOR part IN SELECT inhrelid::regclass AS name FROM pg_inherits WHERE inhparent = old LOOP
        EXECUTE format('ALTER TABLE %s SET SCHEMA inopsio_came_back', part.name);
    END LOOP;
    ALTER TABLE inopsio.events SET SCHEMA inopsio_came_back;
    ALTER TABLE inopsio_came_back.events NO FORCE ROW LEVEL SECURITY;

    EXECUTE 'CREATE TABLE inopsio.events (LIKE inopsio_came_back.events INCLUDING DEFAULTS '
        'INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)'
        || CASE WHEN place IS NULL THEN ' PARTITION BY RANGE ("time")' ELSE '' END;
    FOR part IN SELECT conname, pg_get_constraintdef(oid) AS words FROM pg_constraint
        WHERE conrelid = old AND contype IN ('p', 'u')
    LOOP
        EXECUTE format('ALTER TABLE inopsio.events ADD CONSTRAINT %I %s', part.conname, part.words);
    END LOOP;
    FOR part IN SELECT pg_get_indexdef(indexrelid) AS words FROM pg_index WHERE indrelid = old
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    LOOP
        EXECUTE regexp_replace(
            part.words, ' ON (ONLY )?inopsio_came_back\.events ', ' ON inopsio.events '
        );
    END LOOP;
    IF place IS NOT NULL THEN
        EXECUTE format(
            'SELECT %I.create_hypertable(''inopsio.events'', ''time'', '
            'associated_schema_name => ''inopsio_chunks'', associated_table_prefix => ''events'', '
            'chunk_time_interval => interval ''1 day'', create_default_indexes => false)', place
        );
    END IF;
    ALTER TABLE inopsio.events ENABLE ROW LEVEL SECURITY;
    FOR part IN SELECT policyname, permissive, roles, cmd, qual, with_check FROM pg_policies
        WHERE schemaname = 'inopsio_came_back' AND tablename = 'events' AND policyname <> 'chunks'
    LOOP
        EXECUTE format('CREATE POLICY %I ON inopsio.events AS %s FOR %s TO %s', part.policyname,
            part.permissive, part.cmd,
            (SELECT string_agg(CASE r WHEN 'public' THEN r::text ELSE quote_ident(r) END, ', ')
                FROM unnest(part.roles) AS r))
            || coalesce(' USING (' || part.qual || ')', '')
            || coalesce(' WITH CHECK (' || part.with_check || ')', '');
    END LOOP;
    FOR part IN SELECT grantee::regrole AS who, privilege_type AS what
        FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = old AND grantee <> 0
    LOOP
        EXECUTE format('GRANT %s ON inopsio.events TO %s', part.what, part.who);
    END LOOP;

    IF place IS NOT NULL THEN
        CREATE POLICY chunks ON inopsio.events TO inopsio_owner USING (true) WITH CHECK (true);
        PERFORM make_event_rest();
    ELSE
        CREATE TABLE inopsio_chunks.events_other PARTITION OF inopsio.events DEFAULT;
        ALTER TABLE inopsio_chunks.events_other
            ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON inopsio_chunks.events_other
            USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
            WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
        CREATE POLICY retention ON inopsio_chunks.events_other TO inopsio_owner USING (true);
    END IF;
    PERFORM ensure_event_day(days.day) FROM (
        SELECT DISTINCT ("time" AT TIME ZONE 'UTC')::date AS day FROM inopsio_came_back.events
        WHERE isfinite("time") ORDER BY 1 DESC
    ) AS days;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
    WHERE attrelid = old AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format(
        'INSERT INTO inopsio.events (%s) SELECT %s FROM inopsio_came_back.events', columns, columns
    );
    ALTER TABLE inopsio.events FORCE ROW LEVEL SECURITY;
    DROP TABLE inopsio_came_back.events CASCADE;
    DROP SCHEMA inopsio_came_back;
END $$
