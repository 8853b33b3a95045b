-- Who is enrolled as an agent, by which certificate.
CREATE TABLE agents (
    tenant_id text NOT NULL REFERENCES tenants,
    agent_id uuid NOT NULL,
    host text NOT NULL CHECK (length(host) BETWEEN 1 AND 200),
    machine text NOT NULL DEFAULT '' CHECK (length(machine) <= 64),
    hardware text NOT NULL DEFAULT '' CHECK (length(hardware) <= 64),
    version text NOT NULL DEFAULT '' CHECK (length(version) <= 40),
    serial text NOT NULL,
    next_serial text,
    not_after timestamptz NOT NULL,
    enrolments integer NOT NULL DEFAULT 1,
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz,
    address text NOT NULL DEFAULT '',
    run_id text NOT NULL DEFAULT '',
    run_since timestamptz,
    past_runs text[] NOT NULL DEFAULT '{}',
    cloned_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, agent_id)
);
CREATE INDEX agents_machine ON agents (tenant_id, machine) WHERE machine <> '';

-- Every key that ever got a certificate: it gets none a second time, in no tenant.
CREATE TABLE agent_certificates (
    tenant_id text NOT NULL REFERENCES tenants,
    agent_id uuid NOT NULL,
    serial text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    issued_at timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, serial)
);
CREATE INDEX agent_certificates_agent ON agent_certificates (tenant_id, agent_id, not_after);

-- The house's own authority for agents. Its key is sealed; only the owner reads it.
CREATE TABLE agent_authorities (
    authority_id uuid PRIMARY KEY,
    certificate text NOT NULL,
    sealed_key bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['agents', 'agent_certificates'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON agents TO inopsio_app;
GRANT UPDATE (host, hardware, version, serial, next_serial, not_after, enrolments, enrolled_at,
    seen_at, address, run_id, run_since, past_runs, cloned_at, revoked_at) ON agents TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON agent_certificates TO inopsio_app;
