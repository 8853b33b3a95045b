-- How far each stream of an agent was taken, what is missing in it, and who is silent.
CREATE TABLE agent_streams (
    tenant_id text NOT NULL REFERENCES tenants,
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 300),
    agent_id uuid NOT NULL,
    next_position bigint NOT NULL,
    last_first bigint NOT NULL,
    last_digest bytea NOT NULL,
    moved_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, source)
);
CREATE INDEX agent_streams_agent ON agent_streams (tenant_id, agent_id);
CREATE INDEX agent_streams_moved ON agent_streams (moved_at);

-- `kind`: gap (numbers that never came), back (numbers below what was taken), other (a repeat with
-- other content). One of a stream and kind is open at a time: what comes before it is told joins it.
CREATE TABLE agent_gaps (
    tenant_id text NOT NULL REFERENCES tenants,
    gap_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    source text NOT NULL,
    kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 20),
    first_position bigint NOT NULL,
    next_position bigint NOT NULL,
    records bigint NOT NULL CHECK (records > 0),
    explained bigint NOT NULL DEFAULT 0,
    seen_at timestamptz NOT NULL,
    judged_at timestamptz,
    PRIMARY KEY (tenant_id, gap_id)
);
CREATE UNIQUE INDEX agent_gaps_open ON agent_gaps (tenant_id, source, kind)
    WHERE judged_at IS NULL;
CREATE INDEX agent_gaps_agent ON agent_gaps (tenant_id, agent_id, seen_at DESC);
CREATE INDEX agent_gaps_judged ON agent_gaps (judged_at);

-- What agents said that they dropped themselves (events_dropped), by event.
CREATE TABLE agent_drops (
    tenant_id text NOT NULL REFERENCES tenants,
    event_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 300),
    first_position bigint NOT NULL,
    records bigint NOT NULL CHECK (records > 0),
    told_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX agent_drops_source ON agent_drops (tenant_id, source);
CREATE INDEX agent_drops_told ON agent_drops (told_at);

ALTER TABLE agents
    ADD silent_at timestamptz,
    ADD named text NOT NULL DEFAULT '' CHECK (length(named) <= 200);
GRANT UPDATE (silent_at, named) ON agents TO inopsio_app;

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['agent_streams', 'agent_gaps', 'agent_drops'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON agent_streams, agent_gaps TO inopsio_app;
GRANT SELECT ON agent_drops TO inopsio_app;
GRANT SELECT (tenant_id, event_id), INSERT ON agent_drops TO inopsio_writer;
-- The keeper looks which tenants have something to be told, and forgets what is old.
GRANT SELECT (tenant_id, seen_at, judged_at) ON agent_gaps TO inopsio_writer;
GRANT SELECT (tenant_id, agent_id, seen_at, silent_at, revoked_at, cloned_at) ON agents TO inopsio_writer;
GRANT SELECT (moved_at), DELETE ON agent_streams TO inopsio_writer;
GRANT SELECT (told_at), DELETE ON agent_drops TO inopsio_writer;
GRANT DELETE ON agent_gaps TO inopsio_writer;
