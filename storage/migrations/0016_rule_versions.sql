-- Every text that a rule of a tenant's own ever had, and back-tests of texts over its history.
CREATE TABLE rule_versions (
    tenant_id text NOT NULL REFERENCES tenants,
    rule_id text NOT NULL CHECK (length(rule_id) BETWEEN 1 AND 200),
    version integer NOT NULL CHECK (version > 0),
    title text NOT NULL CHECK (length(title) <= 300),
    text text NOT NULL CHECK (length(text) <= 65536),
    comment text NOT NULL DEFAULT '' CHECK (length(comment) <= 300),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, rule_id, version)
);
INSERT INTO rule_versions (tenant_id, rule_id, version, title, text, created_by, created_at)
SELECT tenant_id, rule_id, 1, title, text, created_by, changed_at FROM tenant_rules;

CREATE TABLE backtests (
    tenant_id text NOT NULL REFERENCES tenants,
    backtest_id uuid NOT NULL,
    text text NOT NULL CHECK (length(text) <= 65536),
    title text NOT NULL DEFAULT '' CHECK (length(title) <= 300),
    days integer NOT NULL CHECK (days BETWEEN 1 AND 366),
    until timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    events bigint NOT NULL DEFAULT 0,
    result jsonb,
    reason text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz,
    PRIMARY KEY (tenant_id, backtest_id)
);
CREATE INDEX backtests_waiting ON backtests (created_at) WHERE status IN ('queued', 'running');

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['rule_versions', 'backtests'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON rule_versions TO inopsio_app;
GRANT DELETE ON rule_versions TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON backtests TO inopsio_app;
GRANT UPDATE (status, events, result, reason, attempts, beat_at) ON backtests TO inopsio_app;
-- Who runs them looks over all tenants for what waits; the text is read in the tenant's own scope.
GRANT SELECT (tenant_id, backtest_id, status, created_at, beat_at) ON backtests TO inopsio_writer;
