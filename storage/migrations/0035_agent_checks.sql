-- Verdicts of the checks that agents make of their hosts' settings: the latest counts, the rest is history.
CREATE TABLE agent_checks (
    tenant_id text NOT NULL REFERENCES tenants,
    agent_id uuid NOT NULL,
    check_uid text NOT NULL CHECK (length(check_uid) BETWEEN 1 AND 100),
    at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    is_passed boolean NOT NULL DEFAULT false,
    severity_id integer NOT NULL DEFAULT 0,
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 300),
    detail text NOT NULL DEFAULT '' CHECK (length(detail) <= 500),
    why text NOT NULL DEFAULT '' CHECK (length(why) <= 1000),
    fix text NOT NULL DEFAULT '' CHECK (length(fix) <= 1000),
    PRIMARY KEY (tenant_id, agent_id, check_uid, at, event_id)
);
ALTER TABLE agent_checks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_checks
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON agent_checks TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON agent_checks TO inopsio_writer;
