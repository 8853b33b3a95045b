-- The numbers of agents' streams, what is missing in them, agents that are silent.

-- name: agent_stream_next
-- How far the stream was taken; of one from before that was kept, how far it was read.
SELECT coalesce(
    (SELECT next_position FROM agent_streams WHERE source = %(source)s),
    (SELECT next_position FROM sources WHERE source = %(source)s), 0) AS next_position;

-- name: agent_stream_hold
SELECT next_position, last_first, last_digest
FROM agent_streams
WHERE source = %(source)s
FOR UPDATE;

-- name: agent_stream_begin
-- A stream begins at 0, but one that was read before its numbers were kept.
INSERT INTO agent_streams (tenant_id, source, agent_id, next_position, last_first, last_digest,
    moved_at)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(source)s, %(agent_id)s::uuid,
    CASE WHEN EXISTS (SELECT FROM sources WHERE source = %(source)s) THEN %(first)s::bigint ELSE 0 END,
    0, '', %(now)s)
ON CONFLICT DO NOTHING;

-- name: agent_stream_move
UPDATE agent_streams SET next_position = %(next)s, last_first = %(first)s,
    last_digest = %(digest)s, moved_at = %(now)s
WHERE source = %(source)s;

-- name: agent_gap_add
INSERT INTO agent_gaps AS g (tenant_id, gap_id, agent_id, source, kind, first_position,
    next_position, records, seen_at)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(gap_id)s::uuid, %(agent_id)s::uuid,
    %(source)s, %(kind)s, %(first)s, %(next)s, %(records)s, %(now)s)
ON CONFLICT (tenant_id, source, kind) WHERE judged_at IS NULL DO UPDATE
SET first_position = least(g.first_position, excluded.first_position),
    next_position = greatest(g.next_position, excluded.next_position),
    records = g.records + excluded.records;

-- name: agent_gaps_due
-- What is due to be told: of a stream and kind once in an hour; what came meanwhile joins it.
SELECT g.gap_id::text, g.agent_id::text, a.host, g.source, g.kind, g.first_position,
    g.next_position, g.records
FROM agent_gaps AS g
JOIN agents AS a ON a.agent_id = g.agent_id
WHERE g.judged_at IS NULL AND g.seen_at <= %(before)s AND NOT EXISTS (
    SELECT FROM agent_gaps AS o
    WHERE o.source = g.source AND o.kind = g.kind AND o.judged_at > %(told_since)s
        AND o.explained < o.records)
ORDER BY g.seen_at, g.gap_id
LIMIT %(limit)s
FOR UPDATE OF g SKIP LOCKED;

-- name: agent_gaps_in
SELECT gap_id::text, first_position, next_position, records
FROM agent_gaps
WHERE source = %(source)s AND kind = 'gap'
ORDER BY first_position, gap_id
LIMIT %(limit)s;

-- name: agent_drops_in
SELECT first_position, records
FROM agent_drops
WHERE source = %(source)s
ORDER BY first_position
LIMIT %(limit)s;

-- name: agent_gap_judged
UPDATE agent_gaps SET judged_at = %(now)s, explained = %(explained)s
WHERE gap_id = %(gap_id)s::uuid AND judged_at IS NULL;

-- name: agent_gaps_of
SELECT g.gap_id::text, g.source, g.kind, g.first_position, g.next_position, g.records, g.explained, g.seen_at,
    g.judged_at
FROM agent_gaps AS g
WHERE g.agent_id = %(agent_id)s::uuid
ORDER BY g.seen_at DESC, g.gap_id
LIMIT %(limit)s;

-- name: agent_drops_add
-- Of enrolled agents only: whoever sends events may claim any other id.
INSERT INTO agent_drops (tenant_id, event_id, agent_id, source, first_position, records,
    told_at)
SELECT i.tenant_id, i.event_id, i.agent_id, i.source, i.first, i.records, now()
FROM json_to_recordset(%(told)s::json) AS i(
    tenant_id text, event_id uuid, agent_id uuid, source text, first bigint,
    records bigint)
JOIN agents AS a ON a.tenant_id = i.tenant_id AND a.agent_id = i.agent_id
ON CONFLICT DO NOTHING;

-- name: agents_to_watch
-- Tenants that have something to be told of their agents.
SELECT tenant_id FROM agent_gaps WHERE judged_at IS NULL AND seen_at <= %(before)s
UNION
SELECT tenant_id FROM agents
WHERE revoked_at IS NULL AND cloned_at IS NULL
    AND (seen_at > silent_at OR (silent_at IS NULL AND seen_at < %(heard_before)s))
ORDER BY 1;

-- name: agents_gone_silent
UPDATE agents SET silent_at = %(now)s
WHERE silent_at IS NULL AND seen_at < %(heard_before)s
    AND revoked_at IS NULL AND cloned_at IS NULL
RETURNING agent_id::text, host, seen_at;

-- name: agents_heard_again
UPDATE agents AS a SET silent_at = NULL
FROM (SELECT agent_id, silent_at FROM agents WHERE seen_at > silent_at FOR UPDATE) AS was
WHERE a.agent_id = was.agent_id AND a.revoked_at IS NULL AND a.cloned_at IS NULL
RETURNING a.agent_id::text, a.host, was.silent_at;

-- name: agent_streams_forget
DELETE FROM agent_streams WHERE moved_at < %(before)s;

-- name: agent_gaps_forget
DELETE FROM agent_gaps WHERE judged_at < %(before)s;

-- name: agent_drops_forget
DELETE FROM agent_drops WHERE told_at < %(before)s;
