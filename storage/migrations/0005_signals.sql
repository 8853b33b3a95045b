-- Signals stand beside findings: claims that count only together with others. A correlation says
-- which of them it rests on (`parts`).
ALTER TABLE findings ADD COLUMN kind text NOT NULL DEFAULT 'finding'
    CHECK (kind IN ('finding', 'signal'));
ALTER TABLE findings ADD COLUMN parts uuid[] NOT NULL DEFAULT '{}';
CREATE INDEX findings_queue ON findings (tenant_id, "time" DESC) WHERE kind = 'finding';
CREATE INDEX findings_rule ON findings (tenant_id, rule_id, "time" DESC);

-- Place of the next fact that a business module tells the log; the row is held until its
-- transaction ends, so that facts reach the log in the order in which they came to be.
CREATE TABLE fact_positions (
    tenant_id text NOT NULL REFERENCES tenants,
    module text NOT NULL,
    next_position bigint NOT NULL,
    PRIMARY KEY (tenant_id, module)
);
ALTER TABLE fact_positions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fact_positions
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE ON fact_positions TO inopsio_app;
