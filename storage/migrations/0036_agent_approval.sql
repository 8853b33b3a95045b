-- A tenant may want an administrator's yes before an enrolled agent is let in.
CREATE TABLE agent_admission (
    tenant_id text PRIMARY KEY REFERENCES tenants,
    needs_approval boolean NOT NULL DEFAULT false,
    set_by text NOT NULL DEFAULT '',
    set_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE agent_admission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_admission
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE ON agent_admission TO inopsio_app;

ALTER TABLE agents
    ADD waits_since timestamptz,
    ADD approved_by text NOT NULL DEFAULT '' CHECK (length(approved_by) <= 300);
GRANT UPDATE (waits_since, approved_by) ON agents TO inopsio_app;
