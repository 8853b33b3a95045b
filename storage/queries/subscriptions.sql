-- Feeds that are polled: kept and read in the tenant's scope; found by the writer, who sees neither
-- address nor secret. No query but `subscription_to_poll` gives the secret.

-- name: subscription_add
INSERT INTO subscriptions (tenant_id, subscription_id, feed, kind, url, collection, auth, secret,
    every_minutes, created_by)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(subscription_id)s::uuid, %(feed)s,
    %(kind)s, %(url)s, %(collection)s, %(auth)s, %(secret)s, %(every_minutes)s, %(created_by)s);

-- name: subscriptions_count
SELECT count(*)::bigint AS subscriptions, count(*) FILTER (WHERE feed = %(feed)s)::bigint AS same
FROM subscriptions;

-- name: subscriptions_all
SELECT subscription_id::text, feed, kind, url, collection, auth, secret IS NOT NULL AS has_secret,
    every_minutes, paused, due_at, polled_at, failures, last_error, last_result, created_by,
    created_at,
    beat_at IS NOT NULL AND beat_at > now() - make_interval(secs => %(dead_s)s) AS is_polling
FROM subscriptions
ORDER BY feed
LIMIT 500;

-- name: subscription_pause
UPDATE subscriptions SET paused = %(paused)s, poll_id = NULL, beat_at = NULL, failures = 0,
    due_at = now()
WHERE feed = %(feed)s;

-- name: subscription_secret
UPDATE subscriptions SET auth = %(auth)s, secret = %(secret)s, poll_id = NULL, beat_at = NULL,
    failures = 0, due_at = now()
WHERE feed = %(feed)s
RETURNING subscription_id::text;

-- name: subscription_id_of
SELECT subscription_id::text, paused FROM subscriptions WHERE feed = %(feed)s;

-- name: subscription_due
UPDATE subscriptions SET due_at = now(), failures = 0 WHERE feed = %(feed)s;

-- name: subscription_drop
DELETE FROM subscriptions WHERE feed = %(feed)s;

-- name: subscriptions_waiting
-- Of all tenants: what is due and nobody polls; one a tenant, the longest due first.
SELECT tenant_id, subscription_id::text
FROM (
    SELECT DISTINCT ON (tenant_id) tenant_id, subscription_id, due_at
    FROM subscriptions
    WHERE NOT paused AND due_at <= now()
        AND (beat_at IS NULL OR beat_at < now() - make_interval(secs => %(dead_s)s))
    ORDER BY tenant_id, due_at, subscription_id
) AS first
ORDER BY due_at, tenant_id
LIMIT 100;

-- name: subscription_take
-- A failure until it ends well: a poll that kills its process is tried again later and later.
UPDATE subscriptions
SET poll_id = %(poll_id)s::uuid, beat_at = now(), failures = failures + 1,
    due_at = now() + least(interval '1 day',
        least(every_minutes, 5) * interval '1 minute' * power(2, least(failures, 12)))
WHERE subscription_id = %(subscription_id)s::uuid AND NOT paused AND due_at <= now()
    AND (beat_at IS NULL OR beat_at < now() - make_interval(secs => %(dead_s)s));

-- name: subscription_to_poll
SELECT subscription_id::text, feed, kind, url, collection, auth, secret, every_minutes, cursor
FROM subscriptions
WHERE subscription_id = %(subscription_id)s::uuid AND poll_id = %(poll_id)s::uuid;

-- name: subscription_beat
-- Nothing is touched where the poll is not the row's own any more: it was paused, dropped or taken.
UPDATE subscriptions SET cursor = coalesce(%(cursor)s::jsonb, cursor), beat_at = now()
WHERE subscription_id = %(subscription_id)s::uuid AND poll_id = %(poll_id)s::uuid AND NOT paused;

-- name: subscription_end
UPDATE subscriptions
SET poll_id = NULL, beat_at = NULL, polled_at = now(), last_error = '',
    last_result = %(result)s::jsonb, failures = 0,
    due_at = now() + make_interval(mins => CASE WHEN %(has_more)s THEN 1 ELSE every_minutes END)
WHERE subscription_id = %(subscription_id)s::uuid AND poll_id = %(poll_id)s::uuid;

-- name: subscription_failed
UPDATE subscriptions
SET poll_id = NULL, beat_at = NULL, polled_at = now(), last_error = %(reason)s
WHERE subscription_id = %(subscription_id)s::uuid AND poll_id = %(poll_id)s::uuid;

-- name: subscription_left
-- Whose process ended without a word.
UPDATE subscriptions
SET poll_id = NULL, beat_at = NULL, polled_at = now(), last_error = %(reason)s
WHERE subscription_id = %(subscription_id)s::uuid AND poll_id IS NOT NULL;
