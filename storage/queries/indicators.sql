-- Indicators: kept and read in the tenant's scope; the flows read them as the writer.

-- name: indicators_put
-- What is the same is left alone. `new`: what the past has not been searched for: it was not there,
-- holds from earlier than before, or holds again after it had ended.
WITH given AS (
    SELECT r.type, r.value, timestamptz 'epoch' + r.valid_from_us * interval '1 microsecond' AS since,
        timestamptz 'epoch' + r.valid_until_us * interval '1 microsecond' AS until,
        r.confidence, coalesce(r.labels, '{}') AS labels, r.tlp, r.pattern_id
    FROM json_to_recordset(%(rows)s::json) AS r(type text, value text, valid_from_us bigint,
        valid_until_us bigint, confidence integer, labels text[], tlp text, pattern_id text)
), put AS (
    INSERT INTO indicators AS i (tenant_id, type, value, feed, valid_from, valid_until, confidence,
        labels, tlp, pattern_id, match_id)
    SELECT nullif(current_setting('inopsio.tenant', true), ''), g.type, g.value, %(feed)s, g.since,
        g.until, g.confidence, g.labels, g.tlp, g.pattern_id,
        CASE WHEN %(past)s THEN NULL ELSE uuid '00000000-0000-0000-0000-000000000000' END
    FROM given AS g
    ON CONFLICT (tenant_id, type, value, feed) DO UPDATE
    SET valid_from = excluded.valid_from, valid_until = excluded.valid_until,
        confidence = excluded.confidence, labels = excluded.labels, tlp = excluded.tlp,
        pattern_id = excluded.pattern_id, changed_at = clock_timestamp(),
        match_id = CASE
            WHEN %(past)s AND (excluded.valid_from < i.valid_from OR (i.valid_until < now()
                AND coalesce(excluded.valid_until, 'infinity') > i.valid_until)) THEN NULL
            ELSE i.match_id END
    WHERE (i.valid_from, i.valid_until, i.confidence, i.labels, i.tlp, i.pattern_id)
        IS DISTINCT FROM (excluded.valid_from, excluded.valid_until, excluded.confidence,
            excluded.labels, excluded.tlp, excluded.pattern_id)
    RETURNING match_id
)
SELECT count(*)::bigint AS changed,
    count(*) FILTER (WHERE match_id IS NULL OR NOT %(past)s)::bigint AS new
FROM put;

-- name: indicators_forget
-- What a feed has of these patterns and no longer says of them.
DELETE FROM indicators
WHERE feed = %(feed)s AND pattern_id = ANY(%(patterns)s::text[]) AND (type, value) NOT IN (
    SELECT t, v FROM unnest(%(types)s::text[], %(values)s::text[]) AS given(t, v));

-- name: indicators_end
-- What a feed that was told whole no longer has: it holds for the past, and no more from now on.
UPDATE indicators
SET valid_until = greatest(now(), valid_from + interval '1 microsecond'),
    changed_at = clock_timestamp()
WHERE feed = %(feed)s AND (valid_until IS NULL OR valid_until > now()) AND (type, value) NOT IN (
    SELECT t, v FROM unnest(%(types)s::text[], %(values)s::text[]) AS given(t, v));

-- name: indicators_count
SELECT count(*)::bigint AS indicators FROM indicators;

-- name: indicator_mark
INSERT INTO indicator_marks AS m (tenant_id) VALUES (nullif(current_setting('inopsio.tenant', true), ''))
ON CONFLICT (tenant_id) DO UPDATE SET mark = m.mark + 1;

-- name: indicators_drop_feed
DELETE FROM indicators WHERE feed = %(feed)s;

-- name: indicators_page
-- By value; `text` is a LIKE pattern, escaped by the caller.
SELECT type, value, feed, valid_from, valid_until, confidence, labels, tlp, pattern_id, changed_at
FROM indicators
WHERE (%(text)s::text IS NULL OR value LIKE %(text)s) AND (%(feed)s::text IS NULL OR feed = %(feed)s)
    AND (%(after)s::text IS NULL OR (value, type, feed) > (%(after)s, %(after_type)s, %(after_feed)s))
ORDER BY value, type, feed
LIMIT %(limit)s;

-- name: indicator_feeds
SELECT feed, count(*)::bigint AS indicators, max(changed_at) AS changed_at,
    count(*) FILTER (WHERE valid_until <= now())::bigint AS expired
FROM indicators
GROUP BY feed
ORDER BY feed
LIMIT 500;

-- name: indicator_marks
SELECT tenant_id, mark FROM indicator_marks;

-- name: indicators_of
SELECT type, value, feed, (extract(epoch FROM valid_from) * 1000000)::bigint AS valid_from_us,
    (extract(epoch FROM valid_until) * 1000000)::bigint AS valid_until_us, confidence
FROM indicators
WHERE tenant_id = %(of_tenant)s
ORDER BY value, type, feed;

-- name: indicators_to_match
-- Those that the search is for, and from now on every one that no search was for yet.
UPDATE indicators SET match_id = %(match_id)s::uuid WHERE match_id IS NULL;

-- name: indicators_of_match
SELECT type, value, feed, (extract(epoch FROM valid_from) * 1000000)::bigint AS valid_from_us,
    (extract(epoch FROM valid_until) * 1000000)::bigint AS valid_until_us, confidence
FROM indicators
WHERE match_id = %(match_id)s::uuid
ORDER BY value, type, feed;

-- name: sightings
-- How often, when and on whom each indicator was seen.
SELECT f.reasons -> 0 ->> 'value' AS value, max(f.reasons -> 1 ->> 'value') AS feed,
    count(*)::bigint AS sightings, min(f."time") AS first_time, max(f."time") AS last_time,
    count(DISTINCT (f.entity_type, f.entity_key))::bigint AS entities, max(f.level) AS level
FROM findings AS f
WHERE f.detector = 'indicators'
GROUP BY 1
ORDER BY last_time DESC, value
LIMIT %(limit)s;
