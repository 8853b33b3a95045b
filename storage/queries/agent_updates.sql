-- Agents' updates: told in the tenant's scope; what is stopped is of no tenant.

-- name: agent_update_offered
-- The last ten that this agent was given.
UPDATE agents SET updates_given = (updates_given || %(serial)s::bigint)[
    greatest(1, cardinality(updates_given) - 8):]
WHERE agent_id = %(agent_id)s::uuid AND %(serial)s <> ALL (updates_given);

-- name: agent_update_standing
SELECT updates_given AS given, updates_heard AS heard
FROM agents
WHERE agent_id = %(agent_id)s::uuid
FOR UPDATE;

-- name: agent_update_told
-- More are kept as heard than can be told: none is heard again.
UPDATE agents SET update_serial = %(serial)s, update_version = %(version)s,
    update_outcome = %(outcome)s, update_reason = %(reason)s, updated_at = %(now)s,
    updates_heard = (updates_heard || %(key)s::bigint)[greatest(1, cardinality(updates_heard) - 28):],
    version = CASE WHEN %(outcome)s::text = 'updated' THEN %(version)s ELSE version END
WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_updates_ended
SELECT count(*) AS ended,
    count(*) FILTER (WHERE update_outcome IN ('rolled_back', 'failed')) AS failed
FROM agents
WHERE update_serial = %(serial)s AND update_outcome IN ('updated', 'rolled_back', 'failed');

-- name: agent_updates_by_outcome
SELECT update_version AS version, update_serial AS serial, update_outcome AS outcome,
    count(*) AS agents, max(updated_at) AS last
FROM agents
WHERE update_outcome <> ''
GROUP BY 1, 2, 3
ORDER BY 2 DESC, 3
LIMIT 100;

-- name: agent_release_stop
INSERT INTO agent_release_stops (serial, origin, reason)
VALUES (%(serial)s, %(origin)s, %(reason)s)
ON CONFLICT DO NOTHING;

-- name: agent_release_stops_of
SELECT origin, reason, stopped_at
FROM agent_release_stops
WHERE serial = %(serial)s
ORDER BY stopped_at
LIMIT 1000;
