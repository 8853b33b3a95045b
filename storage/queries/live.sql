-- What the console's frame, Home and Live ask: search over everything, rates, freshness.

-- name: search_entities
-- Entities of the newest 20,000 claims whose name holds the text; most claimed first.
SELECT entity_type, entity, count(*)::bigint AS findings
FROM (SELECT entity_type, entity FROM findings ORDER BY "time" DESC LIMIT 20000) AS newest
WHERE entity ILIKE %(text)s
GROUP BY entity_type, entity
ORDER BY findings DESC, entity
LIMIT %(limit)s;

-- name: search_incidents
SELECT incident_id::text, title, level, status
FROM (SELECT * FROM incidents ORDER BY last_time DESC LIMIT 20000) AS newest
WHERE concat_ws(' ', title, entity) ILIKE %(text)s
ORDER BY (status = 'closed'), last_time DESC
LIMIT %(limit)s;

-- name: search_findings
SELECT finding_id::text, title, entity
FROM (
    SELECT finding_id, title, entity, "time" FROM findings
    WHERE kind = 'finding' ORDER BY "time" DESC LIMIT 20000
) AS newest
WHERE title ILIKE %(text)s
ORDER BY "time" DESC
LIMIT %(limit)s;

-- name: source_rates_add
INSERT INTO source_rates AS r (tenant_id, source, bucket_s, bucket, events, newest)
SELECT i.tenant_id, i.source, s.step,
    date_bin(make_interval(secs => s.step), now(), timestamptz 'epoch'), i.events,
    timestamptz 'epoch' + i.newest_us * interval '1 microsecond'
FROM json_to_recordset(%(rows)s::json)
    AS i(tenant_id text, source text, events bigint, newest_us bigint)
CROSS JOIN unnest(ARRAY[10, 60]) AS s(step)
ORDER BY i.tenant_id, s.step, i.source
ON CONFLICT (tenant_id, bucket_s, bucket, source) DO UPDATE
SET events = r.events + excluded.events, newest = greatest(r.newest, excluded.newest);

-- name: event_hours_add
INSERT INTO event_hours AS h (tenant_id, hour, events)
SELECT tenant_id, timestamptz 'epoch' + hour_us * interval '1 microsecond', events
FROM json_to_recordset(%(rows)s::json) AS i(tenant_id text, hour_us bigint, events bigint)
WHERE timestamptz 'epoch' + hour_us * interval '1 microsecond'
    BETWEEN now() - interval '400 days' AND now() + interval '1 day'
ORDER BY tenant_id, hour_us
ON CONFLICT (tenant_id, hour) DO UPDATE SET events = h.events + excluded.events;

-- name: source_rates_trim
-- A few rows at each commit; what another writer is trimming is left to it.
DELETE FROM source_rates WHERE ctid IN (
    SELECT ctid FROM source_rates
    WHERE tenant_id = ANY(%(tenants)s::text[])
        AND ((bucket_s = 10 AND bucket < now() - interval '1 hour')
            OR (bucket_s = 60 AND bucket < now() - interval '8 days'))
    LIMIT 500
    FOR UPDATE SKIP LOCKED
);

-- name: live_notify
SELECT pg_notify('inopsio_live', t) FROM unnest(%(tenants)s::text[]) AS t;

-- name: live_listen
LISTEN inopsio_live;

-- name: live_arrivals
-- Events of each step of 10 s since a moment, all sources together, and the newest event's time.
SELECT bucket, sum(events)::bigint AS events, max(newest) AS newest
FROM source_rates
WHERE bucket_s = 10 AND bucket >= %(since)s
GROUP BY bucket
ORDER BY bucket;

-- name: live_newest_findings
SELECT finding_id::text, level, created_at
FROM findings
WHERE kind = 'finding'
ORDER BY created_at DESC
LIMIT %(limit)s;

-- name: live_rates
-- Events of each source in each step since a moment.
SELECT source, bucket, events
FROM source_rates
WHERE bucket_s = %(bucket_s)s AND bucket >= %(since)s
ORDER BY bucket, source
LIMIT 20000;

-- name: live_sources
-- Each source: when it last sent, its newest event, what it sent in the last day and 10 minutes.
SELECT source, max(bucket) AS last_bucket, max(newest) AS newest, sum(events)::bigint AS events,
    coalesce(sum(events) FILTER (WHERE bucket >= now() - interval '10 minutes'), 0)::bigint AS lately
FROM source_rates
WHERE bucket_s = 60 AND bucket >= now() - interval '1 day'
GROUP BY source
ORDER BY events DESC
LIMIT 100;

-- name: live_findings
SELECT finding_id::text, "time", created_at, title, level, entity_type, entity, attack
FROM findings
WHERE kind = 'finding'
ORDER BY created_at DESC
LIMIT %(limit)s;

-- name: live_techniques
-- Techniques of the claims of the last `hours` before the newest of them, most claimed first.
SELECT technique, count(*)::bigint AS claims,
    count(*) FILTER (WHERE kind = 'finding')::bigint AS findings
FROM (
    SELECT attack, kind FROM findings
    WHERE "time" >= (SELECT max("time") FROM findings) - make_interval(hours => %(hours)s)
    ORDER BY "time" DESC LIMIT 50000
) AS newest
CROSS JOIN unnest(attack) AS technique
GROUP BY technique
ORDER BY claims DESC
LIMIT 500;
