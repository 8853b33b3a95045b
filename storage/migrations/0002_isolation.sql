-- Who may touch what, and row-level security: a transaction without a tenant sees nothing.

REVOKE ALL ON ALL TABLES IN SCHEMA inopsio FROM PUBLIC;
GRANT USAGE ON SCHEMA inopsio TO inopsio_app, inopsio_writer;

-- No USAGE for the app role: a policy of `events` does not hold on a partition called by name.
CREATE SCHEMA inopsio_chunks AUTHORIZATION inopsio_owner;
REVOKE ALL ON SCHEMA inopsio_chunks FROM PUBLIC;

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY[
        'tenants', 'users', 'sessions', 'tokens', 'audit_entries', 'events', 'findings',
        'window_counts', 'incidents', 'incident_findings', 'incident_notes', 'inbox', 'outbox',
        'sources', 'lake_files'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;

-- Tenants are made and listed by the owner, who is held to policies too (FORCE).
CREATE POLICY registry ON tenants TO inopsio_owner USING (true) WITH CHECK (true);

GRANT SELECT ON
    tenants, users, sessions, tokens, audit_entries, events, findings, window_counts,
    incidents, incident_findings, incident_notes, inbox, sources, lake_files
    TO inopsio_app;
GRANT INSERT ON
    users, sessions, tokens, audit_entries, incidents, incident_findings, incident_notes, inbox,
    outbox
    TO inopsio_app;
GRANT UPDATE ON users, sessions, tokens, incidents TO inopsio_app;
GRANT DELETE ON sessions TO inopsio_app;

-- The writer copies for all tenants and reads back only what idempotence needs.
GRANT INSERT ON events, findings, window_counts, sources, lake_files, outbox,
    flow_offsets, flow_state TO inopsio_writer;
GRANT SELECT, UPDATE ON flow_offsets, flow_state, sources TO inopsio_writer;
GRANT SELECT (tenant_id, finding_id) ON findings TO inopsio_writer;
GRANT SELECT, UPDATE (events) ON window_counts TO inopsio_writer;
GRANT SELECT, UPDATE (replaced_by, replaced_at), DELETE ON lake_files TO inopsio_writer;
GRANT SELECT, DELETE ON outbox TO inopsio_writer;
