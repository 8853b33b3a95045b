-- What each sensor last said of the packets that it saw, and of those that the kernel dropped.
CREATE TABLE captures (
    tenant_id text NOT NULL REFERENCES tenants,
    sensor text NOT NULL CHECK (length(sensor) BETWEEN 1 AND 200),
    interface text NOT NULL CHECK (length(interface) BETWEEN 1 AND 64),
    started_at timestamptz NOT NULL,
    told_at timestamptz NOT NULL,
    packets bigint NOT NULL CHECK (packets >= 0),
    dropped bigint NOT NULL CHECK (dropped >= 0),
    lost_at timestamptz,
    PRIMARY KEY (tenant_id, sensor, interface)
);
ALTER TABLE captures ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON captures
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON captures TO inopsio_app;
GRANT SELECT, INSERT, UPDATE ON captures TO inopsio_writer;
