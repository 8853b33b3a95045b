-- Searches of the past for indicators that are new: queued with them, found by the writer.

-- name: match_queue
-- A search that waits takes along what comes. Its row is locked until what came is there, so that
-- whoever takes the search sees it; if it was taken meanwhile, another one waits.
INSERT INTO indicator_matches AS m (tenant_id, match_id)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(match_id)s::uuid)
ON CONFLICT (tenant_id) WHERE status = 'queued' DO UPDATE SET until = now()
RETURNING match_id::text;

-- name: match_one
SELECT match_id::text, days, until, reached, status, indicators, events, findings, reason,
    attempts, created_at
FROM indicator_matches
WHERE match_id = %(match_id)s::uuid;

-- name: matches_newest
SELECT match_id::text, days, until, reached, status, indicators, events, findings, reason,
    attempts, created_at
FROM indicator_matches
ORDER BY created_at DESC, match_id DESC
LIMIT %(limit)s;

-- name: matches_trim
DELETE FROM indicator_matches
WHERE match_id IN (
    SELECT match_id FROM indicator_matches WHERE status IN ('done', 'failed')
    ORDER BY created_at DESC, match_id OFFSET %(most)s);

-- name: matches_waiting
-- Of all tenants: what waits and got no more for a while, and what a killed process left behind;
-- the oldest first.
SELECT tenant_id, match_id::text FROM indicator_matches
WHERE (status = 'queued' AND (until <= now() - make_interval(secs => %(settle_s)s)
        OR created_at <= now() - make_interval(secs => %(patience_s)s)))
    OR (status = 'running' AND beat_at < now() - make_interval(secs => %(dead_s)s))
ORDER BY created_at, match_id
LIMIT 20;

-- name: match_take
-- True of one asker only; what killed its process three times without getting on is given up.
UPDATE indicator_matches
SET status = CASE WHEN attempts >= 3 THEN 'failed' ELSE 'running' END,
    reason = CASE WHEN attempts >= 3 THEN
        'its process ended three times on one day of history; run: inopsio intel match' ELSE '' END,
    until = CASE WHEN status = 'queued' THEN now() ELSE until END,
    attempts = attempts + 1, beat_at = now()
WHERE match_id = %(match_id)s::uuid AND (
    status = 'queued'
    OR (status = 'running' AND beat_at < now() - make_interval(secs => %(dead_s)s)))
RETURNING status;

-- name: match_beat
UPDATE indicator_matches
SET indicators = %(indicators)s, beat_at = now()
WHERE match_id = %(match_id)s::uuid AND status = 'running';

-- name: match_reached
-- Everything from `reached` on is searched; by the writer, in the transaction that claims what was
-- found.
UPDATE indicator_matches
SET reached = %(reached)s, events = events + %(events)s, findings = findings + %(findings)s,
    attempts = 1, beat_at = now()
WHERE tenant_id = %(of_tenant)s AND match_id = %(match_id)s::uuid AND status = 'running';

-- name: match_end
UPDATE indicator_matches SET status = %(status)s, reason = %(reason)s, beat_at = now()
WHERE match_id = %(match_id)s::uuid AND status = 'running';
