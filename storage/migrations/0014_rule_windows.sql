-- What each rule over single events claimed in each 10 minutes of event time: beyond a bound its
-- claims are counted here (`capped`) and not kept. Trimmed by whoever writes it.
CREATE TABLE rule_windows (
    tenant_id text NOT NULL,
    rule_id text NOT NULL,
    version text NOT NULL,
    window_start timestamptz NOT NULL,
    claims bigint NOT NULL,
    capped bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, rule_id, version, window_start)
);
CREATE INDEX rule_windows_made ON rule_windows (tenant_id, made_at);
CREATE INDEX rule_windows_capped ON rule_windows (tenant_id, rule_id) WHERE capped > 0;
ALTER TABLE rule_windows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rule_windows
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON rule_windows TO inopsio_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON rule_windows TO inopsio_writer;
