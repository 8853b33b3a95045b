-- Back-tests: asked for and read in the tenant's scope; found by the writer, who sees no text.

-- name: backtest_add
INSERT INTO backtests (tenant_id, backtest_id, text, title, days, until, created_by)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(backtest_id)s::uuid, %(text)s,
    %(title)s, %(days)s, %(until)s, %(created_by)s);

-- name: backtest_open
SELECT count(*)::bigint AS waiting FROM backtests WHERE status IN ('queued', 'running');

-- name: backtest
SELECT backtest_id::text, text, title, days, until, status, events, result, reason, attempts,
    created_by, created_at
FROM backtests
WHERE backtest_id = %(backtest_id)s::uuid;

-- name: backtests_newest
SELECT backtest_id::text, title, days, until, status, events, result, reason, created_by, created_at
FROM backtests
ORDER BY created_at DESC, backtest_id
LIMIT %(limit)s;

-- name: backtests_trim
DELETE FROM backtests
WHERE backtest_id IN (
    SELECT backtest_id FROM backtests WHERE status IN ('done', 'failed')
    ORDER BY created_at DESC, backtest_id OFFSET %(most)s);

-- name: backtests_waiting
-- Of all tenants: what waits, and what a killed process left behind; the oldest first.
SELECT tenant_id, backtest_id::text FROM backtests
WHERE status = 'queued' OR (status = 'running' AND beat_at < now() - make_interval(secs => %(dead_s)s))
ORDER BY created_at, backtest_id
LIMIT 20;

-- name: backtest_take
-- True of one asker only; what killed its process three times is given up.
UPDATE backtests
SET status = CASE WHEN attempts >= 3 THEN 'failed' ELSE 'running' END,
    reason = CASE WHEN attempts >= 3 THEN 'its process ended three times before it was done' ELSE '' END,
    attempts = attempts + 1, beat_at = now()
WHERE backtest_id = %(backtest_id)s::uuid AND (
    status = 'queued'
    OR (status = 'running' AND beat_at < now() - make_interval(secs => %(dead_s)s)))
RETURNING status;

-- name: backtest_beat
UPDATE backtests SET events = %(events)s, beat_at = now()
WHERE backtest_id = %(backtest_id)s::uuid AND status = 'running';

-- name: backtest_end
UPDATE backtests SET status = %(status)s, events = %(events)s, result = %(result)s::jsonb,
    reason = %(reason)s, beat_at = now()
WHERE backtest_id = %(backtest_id)s::uuid AND status = 'running';
