-- What was put back from the dead letter, once each; what a tenant may send; batches in the outbox.
CREATE TABLE retried_letters (
    tenant_id text NOT NULL REFERENCES tenants,
    letter_id uuid NOT NULL,
    retried_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    PRIMARY KEY (tenant_id, letter_id)
);

-- Without a row: the setting's rate.
CREATE TABLE tenant_quotas (
    tenant_id text PRIMARY KEY REFERENCES tenants,
    bytes_s bigint NOT NULL CHECK (bytes_s >= 0),
    updated_at timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['retried_letters', 'tenant_quotas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON retried_letters TO inopsio_app;
GRANT SELECT, INSERT, DELETE, UPDATE (bytes_s, updated_at) ON tenant_quotas TO inopsio_app;

-- Batches of events are compressed already, and no row stays long.
ALTER TABLE outbox ALTER COLUMN value SET STORAGE EXTERNAL;
