-- What the network shows of itself: who has which address, name and role, and who talks to whom.
CREATE TABLE topology (
    tenant_id text NOT NULL REFERENCES tenants,
    kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 20),
    one text NOT NULL CHECK (length(one) BETWEEN 1 AND 255),
    other text NOT NULL CHECK (length(other) BETWEEN 1 AND 255),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kind, one, other)
);
CREATE INDEX topology_other ON topology (tenant_id, other, kind);
CREATE INDEX topology_last ON topology (tenant_id, last_at);
ALTER TABLE topology ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON topology
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON topology TO inopsio_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON topology TO inopsio_writer;
