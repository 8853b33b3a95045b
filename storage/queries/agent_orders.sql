-- What agents are told: policies and actions in the tenant's scope; the signer by the owner alone.

-- name: signer_of
SELECT signer_id::text, certificate, sealed_key, made_at
FROM agent_signers
WHERE authority = %(authority)s
ORDER BY made_at DESC
LIMIT 1;

-- name: signer_add
INSERT INTO agent_signers (signer_id, authority, certificate, sealed_key, made_at)
VALUES (%(signer_id)s::uuid, %(authority)s, %(certificate)s, %(sealed_key)s, %(now)s);

-- name: agent_policies_alone
-- One change of a tenant's policies after the other: a version is given once.
SELECT pg_advisory_xact_lock(hashtextextended('policies/' || current_setting('inopsio.tenant'), 0));

-- name: agent_policy_add
INSERT INTO agent_policies (tenant_id, version, agent_id, document, is_removed, note, made_by,
    made_behind, made_at)
-- Above what this ledger gave, not above what agents say: one that lies would deafen all others.
SELECT nullif(current_setting('inopsio.tenant', true), ''), coalesce(max(version), 0) + 1,
    %(agent_id)s::uuid, %(document)s::jsonb, %(is_removed)s, %(note)s, %(made_by)s, %(made_behind)s,
    %(now)s
FROM agent_policies
RETURNING version;

-- name: agent_four_eyes_lowered
-- By the one who asks, or by who is not known: then another person looks all the same.
SELECT FROM agent_policies
WHERE made_at > %(now)s::timestamptz - interval '24 hours'
    AND (agent_id IS NULL OR agent_id = %(agent_id)s::uuid)
    AND (is_removed OR document ->> 'four_eyes' = 'false')
    AND lower(made_behind) IN ('', lower(%(person)s))
LIMIT 1;

-- name: agent_account_made_by
-- Accounts made or changed within a day by the other one, or by a program. Ids of entries begin
-- with their time: only that day's are read.
SELECT FROM audit_entries AS a
JOIN users AS u ON u.user_id::text = a.object
WHERE a.entry_id > (lpad(to_hex((extract(epoch FROM now() - interval '24 hours') * 1000)::bigint),
        12, '0') || repeat('0', 20))::uuid
    AND a.action IN ('user.create', 'user.change') AND a.result = 'done'
    AND 'user:' || u.name = ANY (%(accounts)s)
    AND (a.actor = ANY (%(makers)s) OR a.actor LIKE 'token:%%')
LIMIT 1;

-- name: agent_policies_newest
-- The newest word for all agents, and the newest for this one, if there are any.
(SELECT version, agent_id::text, document, is_removed, note, made_by, made_at
FROM agent_policies WHERE agent_id IS NULL ORDER BY version DESC LIMIT 1)
UNION ALL
(SELECT version, agent_id::text, document, is_removed, note, made_by, made_at
FROM agent_policies WHERE agent_id = %(agent_id)s::uuid ORDER BY version DESC LIMIT 1);

-- name: agent_policies_history
SELECT version, agent_id::text, document, is_removed, note, made_by, made_at
FROM agent_policies
ORDER BY version DESC
LIMIT %(limit)s;

-- name: agent_policies_wanted
-- The version that each agent should run, 0 where nothing was ever said.
SELECT a.agent_id::text, CASE WHEN own.is_removed IS FALSE THEN own.version
    ELSE greatest(coalesce(own.version, 0), coalesce(everyone.version, 0)) END AS version
FROM agents AS a
LEFT JOIN LATERAL (SELECT version, is_removed FROM agent_policies
    WHERE agent_id = a.agent_id ORDER BY version DESC LIMIT 1) AS own ON true
LEFT JOIN LATERAL (SELECT version FROM agent_policies
    WHERE agent_id IS NULL ORDER BY version DESC LIMIT 1) AS everyone ON true
LIMIT %(limit)s;

-- name: agent_beat
-- A version that the ledger never gave is not believed; `claim` says so, once.
UPDATE agents AS a SET beat_at = %(now)s, policy_version = least(%(version)s, top.version),
    policy_state = %(state)s, response = %(response)s::text[],
    policy_reason = CASE WHEN %(version)s > top.version THEN %(claim)s ELSE %(reason)s END
FROM (SELECT coalesce(max(version), 0) AS version FROM agent_policies) AS top,
    (SELECT policy_reason FROM agents WHERE agent_id = %(agent_id)s::uuid) AS old
WHERE a.agent_id = %(agent_id)s::uuid
RETURNING a.policy_reason = %(claim)s AND old.policy_reason <> %(claim)s AS is_new_claim;

-- name: agent_standing
SELECT agent_id::text, host, policy_version, policy_state, policy_reason, beat_at, response,
    address, revoked_at
FROM agents
WHERE agent_id = %(agent_id)s::uuid;

-- name: agents_of_host
SELECT agent_id::text, host
FROM agents
WHERE lower(host) = lower(%(host)s) AND revoked_at IS NULL
ORDER BY coalesce(seen_at, enrolled_at) DESC
LIMIT 5;

-- name: agent_action_add
INSERT INTO agent_actions (tenant_id, action_id, agent_id, kind, arguments, is_dry, undoes,
    incident_id, note, state, asked_by, asked_behind, asked_at, expires_at)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(action_id)s::uuid,
    %(agent_id)s::uuid, %(kind)s, %(arguments)s::jsonb, %(is_dry)s, %(undoes)s::uuid,
    %(incident_id)s, %(note)s, %(state)s, %(asked_by)s, %(asked_behind)s, %(now)s,
    %(expires_at)s);

-- name: agent_action
SELECT action_id::text, agent_id::text, kind, arguments, is_dry, undoes::text, incident_id, note,
    state, asked_by, asked_behind, asked_at, approved_by, approved_at, expires_at, sent_at, ended_at,
    result, in_force_until, undone_at
FROM agent_actions
WHERE action_id = %(action_id)s::uuid
FOR UPDATE;

-- name: agent_actions_of
SELECT action_id::text, agent_id::text, kind, arguments, is_dry, undoes::text, incident_id, note,
    state, asked_by, asked_behind, asked_at, approved_by, approved_at, expires_at, sent_at, ended_at,
    result, in_force_until, undone_at
FROM agent_actions
WHERE (%(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s::uuid)
    AND (%(incident_id)s::text = '' OR incident_id = %(incident_id)s)
ORDER BY asked_at DESC, action_id
LIMIT %(limit)s;

-- name: agent_actions_open
SELECT count(*) FROM agent_actions
WHERE agent_id = %(agent_id)s::uuid AND state IN ('waits', 'ready', 'sent')
    AND expires_at > %(now)s;

-- name: agent_action_approve
UPDATE agent_actions SET state = 'ready', approved_by = %(by)s, approved_at = %(now)s,
    expires_at = %(expires_at)s
WHERE action_id = %(action_id)s::uuid AND state = 'waits';

-- name: agent_action_deny
UPDATE agent_actions SET state = 'denied', approved_by = %(by)s, ended_at = %(now)s
WHERE action_id = %(action_id)s::uuid AND state IN ('waits', 'ready');

-- name: agent_actions_expire
-- An hour more than its end: what the agent did within it may still be told.
UPDATE agent_actions SET state = 'expired', ended_at = %(now)s
WHERE agent_id = %(agent_id)s::uuid AND (state IN ('waits', 'ready') AND expires_at < %(now)s
    OR state = 'sent' AND expires_at < %(now)s - interval '1 hour')
RETURNING action_id::text, kind;

-- name: agent_actions_expire_silent
-- Of agents that do not beat any more. What changes a host and was sent may still be told.
UPDATE agent_actions SET state = 'expired', ended_at = %(now)s
WHERE state IN ('waits', 'ready') AND expires_at < %(now)s - interval '1 day'
    OR state = 'sent' AND kind = ANY (%(collects)s) AND expires_at < %(now)s - interval '1 day'
RETURNING action_id::text, agent_id::text, kind;

-- name: agent_actions_ready
SELECT action_id::text, kind, arguments, is_dry, undoes::text, state, expires_at
FROM agent_actions
WHERE agent_id = %(agent_id)s::uuid AND state IN ('ready', 'sent') AND expires_at > %(now)s
ORDER BY asked_at, action_id
LIMIT %(limit)s
FOR UPDATE;

-- name: agent_action_sent
UPDATE agent_actions SET state = 'sent', sent_at = %(now)s
WHERE action_id = %(action_id)s::uuid AND state = 'ready';

-- name: agent_action_end
UPDATE agent_actions SET state = %(state)s, ended_at = %(now)s, result = %(result)s::jsonb,
    in_force_until = %(until)s
WHERE action_id = %(action_id)s::uuid AND agent_id = %(agent_id)s::uuid AND state = 'sent';

-- name: agent_action_undone
UPDATE agent_actions SET undone_at = %(now)s
WHERE action_id = %(action_id)s::uuid AND undone_at IS NULL;

-- name: evidence_add
INSERT INTO evidence_files (tenant_id, evidence_id, agent_id, host, source, size_bytes, sha256,
    collected_at, received_at, detail)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(evidence_id)s::uuid,
    %(agent_id)s::uuid, %(host)s, %(source)s, %(size_bytes)s, %(sha256)s, %(collected_at)s,
    %(now)s, %(detail)s::jsonb);

-- name: evidence_piece_add
INSERT INTO evidence_pieces (tenant_id, evidence_id, number, content)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(evidence_id)s::uuid, %(number)s,
    %(content)s)
ON CONFLICT DO NOTHING;

-- name: evidence_piece
SELECT content FROM evidence_pieces
WHERE evidence_id = %(evidence_id)s::uuid AND number = %(number)s;

-- name: evidence_pieces_count
SELECT count(*) AS pieces, coalesce(sum(octet_length(content)), 0)::bigint AS size_bytes
FROM evidence_pieces
WHERE evidence_id = %(evidence_id)s::uuid;

-- name: evidence_pieces_forget
DELETE FROM evidence_pieces AS p
WHERE evidence_id = %(evidence_id)s::uuid AND NOT EXISTS (
    SELECT FROM evidence_files AS f
    WHERE f.tenant_id = p.tenant_id AND f.evidence_id = p.evidence_id);

-- name: evidence_held
-- Whole files, and what came of those that are not.
SELECT (SELECT coalesce(sum(size_bytes), 0) FROM evidence_files)::bigint
    + (SELECT coalesce(sum(octet_length(content)), 0) FROM evidence_pieces AS p
        WHERE NOT EXISTS (SELECT FROM evidence_files AS f
            WHERE f.tenant_id = p.tenant_id AND f.evidence_id = p.evidence_id))::bigint
    AS size_bytes;

-- name: evidence_one
SELECT evidence_id::text, agent_id::text, host, source, size_bytes, sha256, collected_at,
    received_at, detail
FROM evidence_files
WHERE evidence_id = %(evidence_id)s::uuid;

-- name: evidence_all
SELECT evidence_id::text, agent_id::text, host, source, size_bytes, sha256, collected_at,
    received_at
FROM evidence_files
ORDER BY received_at DESC, evidence_id
LIMIT %(limit)s;

-- name: custody_add
INSERT INTO evidence_custody (tenant_id, evidence_id, entry_id, at, actor, what, detail)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(evidence_id)s::uuid,
    %(entry_id)s::uuid, %(now)s, %(actor)s, %(what)s, %(detail)s::jsonb);

-- name: custody_of
SELECT at, actor, what, detail
FROM evidence_custody
WHERE evidence_id = %(evidence_id)s::uuid
ORDER BY at, entry_id;
