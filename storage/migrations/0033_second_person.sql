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
