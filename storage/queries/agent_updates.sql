-- Agents' updates: told in the tenant's scope; what is stopped is of no tenant.

-- name: agent_update_told
UPDATE agents SET update_serial = %(serial)s, update_version = %(version)s,
    update_outcome = %(outcome)s, update_reason = %(reason)s, updated_at = %(now)s,
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
