-- Who stands behind a program or a change: the second person is another one than that.
ALTER TABLE tokens ADD created_by text NOT NULL DEFAULT '';
ALTER TABLE agent_policies ADD made_behind text NOT NULL DEFAULT '';
ALTER TABLE agent_actions
    ADD asked_behind text NOT NULL DEFAULT '',
    ADD CONSTRAINT second_person CHECK (approved_by = '' OR state = 'denied'
        OR lower(approved_by) NOT IN (lower(asked_by), lower(asked_behind)));

-- Pieces are added to and taken from what is not whole yet, and nothing else.
CREATE POLICY not_whole_add ON evidence_pieces AS RESTRICTIVE FOR INSERT
    WITH CHECK (NOT EXISTS (SELECT FROM evidence_files AS f
        WHERE f.tenant_id = evidence_pieces.tenant_id
            AND f.evidence_id = evidence_pieces.evidence_id));
CREATE POLICY not_whole_forget ON evidence_pieces AS RESTRICTIVE FOR DELETE
    USING (NOT EXISTS (SELECT FROM evidence_files AS f
        WHERE f.tenant_id = evidence_pieces.tenant_id
            AND f.evidence_id = evidence_pieces.evidence_id));

-- Releases that an agent was given, and of which it told how they ended (refused: below zero).
ALTER TABLE agents
    ADD updates_given bigint[] NOT NULL DEFAULT '{}',
    ADD updates_heard bigint[] NOT NULL DEFAULT '{}';
GRANT UPDATE (updates_given, updates_heard) ON agents TO inopsio_app;

-- What strangers fill is bounded: the oldest go.
CREATE INDEX topology_age ON topology (tenant_id, kind, last_at DESC);
GRANT DELETE ON captures TO inopsio_writer;
