-- A tenant's own rules: Sigma texts, checked before they are kept; the flows pick changes up.
CREATE TABLE tenant_rules (
    tenant_id text NOT NULL REFERENCES tenants,
    rule_id text NOT NULL CHECK (length(rule_id) BETWEEN 1 AND 200),
    title text NOT NULL CHECK (length(title) <= 300),
    text text NOT NULL CHECK (length(text) <= 65536),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, rule_id)
);
ALTER TABLE tenant_rules ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_rules
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_rules TO inopsio_app;
-- The flows run the rules of all tenants.
GRANT SELECT (tenant_id, rule_id, text, changed_at, enabled) ON tenant_rules TO inopsio_writer;
