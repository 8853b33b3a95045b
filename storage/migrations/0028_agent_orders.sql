-- What agents are told: policies, and actions on their hosts. What they answer, what they collect.
CREATE TABLE agent_policies (
    tenant_id text NOT NULL REFERENCES tenants,
    version bigint NOT NULL CHECK (version > 0),
    agent_id uuid,
    document jsonb NOT NULL,
    is_removed boolean NOT NULL DEFAULT false,
    note text NOT NULL DEFAULT '',
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, version)
);
CREATE INDEX agent_policies_of ON agent_policies (tenant_id, agent_id, version);
ALTER TABLE agents
    ADD COLUMN policy_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN policy_state text NOT NULL DEFAULT '',
    ADD COLUMN policy_reason text NOT NULL DEFAULT '',
    ADD COLUMN beat_at timestamptz,
    ADD COLUMN response text[] NOT NULL DEFAULT '{}';
GRANT UPDATE (policy_version, policy_state, policy_reason, beat_at, response)
    ON agents TO inopsio_app;

CREATE TABLE agent_actions (
    tenant_id text NOT NULL,
    action_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    kind text NOT NULL,
    arguments jsonb NOT NULL,
    is_dry boolean NOT NULL DEFAULT false,
    undoes uuid,
    incident_id text NOT NULL DEFAULT '',
    note text NOT NULL,
    state text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL,
    approved_by text NOT NULL DEFAULT '',
    approved_at timestamptz,
    expires_at timestamptz NOT NULL,
    sent_at timestamptz,
    ended_at timestamptz,
    result jsonb,
    in_force_until timestamptz,
    undone_at timestamptz,
    PRIMARY KEY (tenant_id, action_id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents
);
CREATE INDEX agent_actions_of ON agent_actions (tenant_id, agent_id, asked_at);

-- Files that were collected, in pieces, each with its chain of custody. Nothing of it is changed.
CREATE TABLE evidence_files (
    tenant_id text NOT NULL,
    evidence_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    host text NOT NULL,
    source text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    collected_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (tenant_id, evidence_id),
    FOREIGN KEY (tenant_id, evidence_id) REFERENCES agent_actions
);
CREATE TABLE evidence_pieces (
    tenant_id text NOT NULL,
    evidence_id uuid NOT NULL,
    number integer NOT NULL CHECK (number >= 0),
    content bytea NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 1048576),
    PRIMARY KEY (tenant_id, evidence_id, number),
    FOREIGN KEY (tenant_id, evidence_id) REFERENCES agent_actions
);
ALTER TABLE evidence_pieces ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE evidence_custody (
    tenant_id text NOT NULL,
    evidence_id uuid NOT NULL,
    entry_id uuid NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    what text NOT NULL,
    detail jsonb NOT NULL,
    PRIMARY KEY (tenant_id, entry_id),
    FOREIGN KEY (tenant_id, evidence_id) REFERENCES agent_actions
);

-- The key that signs what agents are told. Sealed; only the owner reads it.
CREATE TABLE agent_signers (
    signer_id uuid PRIMARY KEY,
    authority text NOT NULL,
    certificate text NOT NULL,
    sealed_key bytea NOT NULL,
    made_at timestamptz NOT NULL
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['agent_policies', 'agent_actions', 'evidence_files',
        'evidence_pieces', 'evidence_custody'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON agent_policies, agent_actions, evidence_files, evidence_custody
    TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON evidence_pieces TO inopsio_app;
GRANT UPDATE (state, approved_by, approved_at, expires_at, sent_at, ended_at, result,
    in_force_until, undone_at) ON agent_actions TO inopsio_app;
