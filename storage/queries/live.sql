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

-- name: live_add
-- One statement a commit: what came from where, in which hours, and word to whoever listens. A few
-- old rows are trimmed each time; what another writer is trimming is left to it.
WITH rates AS (
    INSERT INTO source_rates AS r (tenant_id, source, bucket_s, bucket, events, newest)
    SELECT i.tenant_id, i.source, s.step,
        date_bin(make_interval(secs => s.step), now(), timestamptz 'epoch'), i.events,
        timestamptz 'epoch' + i.newest_us * interval '1 microsecond'
    FROM json_to_recordset(%(rates)s::json)
        AS i(tenant_id text, source text, events bigint, newest_us bigint)
    CROSS JOIN unnest(ARRAY[10, 60]) AS s(step)
    ORDER BY i.tenant_id, s.step, i.source
    ON CONFLICT (tenant_id, bucket_s, bucket, source) DO UPDATE
    SET events = r.events + excluded.events, newest = greatest(r.newest, excluded.newest)
), hours AS (
    INSERT INTO event_hours AS h (tenant_id, hour, events)
    SELECT tenant_id, timestamptz 'epoch' + hour_us * interval '1 microsecond', events
    FROM json_to_recordset(%(hours)s::json) AS i(tenant_id text, hour_us bigint, events bigint)
    WHERE timestamptz 'epoch' + hour_us * interval '1 microsecond'
        BETWEEN now() - interval '400 days' AND now() + interval '1 day'
    ORDER BY tenant_id, hour_us
    ON CONFLICT (tenant_id, hour) DO UPDATE SET events = h.events + excluded.events
), trimmed AS (
    DELETE FROM source_rates WHERE ctid IN (
        SELECT ctid FROM source_rates
        WHERE tenant_id = ANY(%(sent)s::text[])
            AND ((bucket_s = 10 AND bucket < now() - interval '1 hour')
                OR (bucket_s = 60 AND bucket < now() - interval '8 days'))
        LIMIT 500
        FOR UPDATE SKIP LOCKED
    )
)
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

-- name: home_incidents
-- How many stand open, how many of them grave and nobody's; opened in these 7 days, the 7 before.
SELECT count(*) FILTER (WHERE status <> 'closed')::bigint AS open,
    count(*) FILTER (WHERE status <> 'closed' AND level IN ('critical', 'high'))::bigint AS grave,
    count(*) FILTER (WHERE opened_at >= now() - interval '7 days')::bigint AS opened,
    count(*) FILTER (WHERE opened_at >= now() - interval '14 days'
        AND opened_at < now() - interval '7 days')::bigint AS opened_before,
    coalesce(min(opened_at) > now() - interval '14 days', true) AS is_first_week
FROM incidents WHERE merged_into IS NULL;

-- name: home_incident_steps
-- Incidents opened in each of `steps` steps of `step_s` seconds, counted back (0 = the newest).
SELECT floor(extract(epoch FROM now() - opened_at) / %(step_s)s)::bigint AS ago,
    count(*)::bigint AS told
FROM incidents
WHERE merged_into IS NULL AND opened_at <= now()
    AND opened_at > now() - make_interval(secs => %(step_s)s * %(steps)s)
GROUP BY ago ORDER BY ago;

-- name: home_finding_steps
-- Findings made in the 48 hours before now, by arrival, counted back in steps (0 = the newest).
SELECT floor(extract(epoch FROM now() - created_at) / %(step_s)s)::bigint AS ago,
    count(*)::bigint AS told
FROM findings
WHERE kind = 'finding' AND created_at > now() - interval '48 hours' AND created_at <= now()
GROUP BY ago ORDER BY ago;

-- name: home_event_steps
-- Events that arrived in the 48 hours before now and from how many sources, counted back in steps.
SELECT floor(extract(epoch FROM now() - bucket) / %(step_s)s)::bigint AS ago,
    sum(events)::bigint AS told, count(DISTINCT source)::bigint AS sources
FROM source_rates
WHERE bucket_s = 60 AND bucket > now() - interval '48 hours' AND bucket <= now()
GROUP BY ago ORDER BY ago;

-- name: home_watched
-- Whether the day before was watched from its beginning: what has none before has no delta.
-- `age_s`: since the first thing that happened here; NULL where nothing has.
SELECT extract(epoch FROM now() - least(
        (SELECT min(created_at) FROM findings), (SELECT min(bucket) FROM source_rates
        WHERE bucket_s = 60), (SELECT min(opened_at) FROM incidents)))::bigint AS age_s,
    (SELECT min(created_at) FROM findings WHERE kind = 'finding')
        <= now() - interval '47 hours' AS findings,
    (SELECT min(bucket) FROM source_rates WHERE bucket_s = 60)
        <= now() - interval '47 hours' AS events;

-- name: home_verdict_minutes
-- From an incident's opening to its first verdict, the last 30 days, by the audit trail's newest.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - i.opened_at) / 60)
        FILTER (WHERE v.at >= now() - interval '7 days') AS minutes,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - i.opened_at) / 60)
        FILTER (WHERE v.at < now() - interval '7 days') AS minutes_before,
    count(*)::bigint AS verdicts
FROM (
    SELECT object, min(at) AS at
    FROM (SELECT object, at, action, detail FROM audit_entries ORDER BY entry_id DESC LIMIT 20000)
        AS newest
    WHERE action = 'incident.change' AND detail ? 'verdict' AND at >= now() - interval '14 days'
    GROUP BY object
) AS v
JOIN incidents AS i ON i.incident_id::text = v.object;

-- name: home_verdict_steps
-- The same median of the verdicts in each step, counted back; steps without a verdict are left out.
SELECT floor(extract(epoch FROM now() - v.at) / %(step_s)s)::bigint AS ago,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM v.at - i.opened_at) / 60) AS told
FROM (
    SELECT object, min(at) AS at
    FROM (SELECT object, at, action, detail FROM audit_entries ORDER BY entry_id DESC LIMIT 20000)
        AS newest
    WHERE action = 'incident.change' AND detail ? 'verdict'
        AND at > now() - make_interval(secs => %(step_s)s * %(steps)s)
    GROUP BY object
) AS v
JOIN incidents AS i ON i.incident_id::text = v.object
GROUP BY ago ORDER BY ago;

-- name: home_held_steps
-- What stood on hold in one currency at the end of each step, counted back (0 = now).
SELECT g.ago::bigint AS ago, coalesce(sum(h.amount_cents), 0)::bigint AS told
FROM generate_series(0, %(steps)s - 1) AS g(ago)
LEFT JOIN (
    SELECT p.payment_id, p.amount_cents, min(l.placed_at) AS placed_at,
        CASE WHEN bool_and(l.released_at IS NOT NULL) THEN max(l.released_at) END AS released_at
    FROM erp_holds AS l
    JOIN erp_payments AS p ON p.tenant_id = l.tenant_id AND p.payment_id = l.payment_id
    WHERE p.currency = %(currency)s
        AND (l.released_at IS NULL
            OR l.released_at > now() - make_interval(secs => %(step_s)s * %(steps)s))
    GROUP BY p.payment_id, p.amount_cents
    LIMIT 5000
) AS h ON h.placed_at <= now() - make_interval(secs => %(step_s)s * g.ago)
    AND coalesce(h.released_at > now() - make_interval(secs => %(step_s)s * g.ago), true)
GROUP BY g.ago ORDER BY g.ago;

-- name: home_held
SELECT currency, sum(amount_cents)::bigint AS amount_cents, count(*)::bigint AS payments
FROM erp_payments WHERE status = 'held'
GROUP BY currency ORDER BY amount_cents DESC LIMIT 4;

-- name: home_held_payments
SELECT p.payment_id, p.amount_cents, p.currency, v.name AS vendor,
    coalesce(h.placed_at, p.created_at) AS since, coalesce(h.title, '') AS reason
FROM erp_payments AS p
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
LEFT JOIN LATERAL (
    SELECT placed_at, title FROM erp_holds
    WHERE payment_id = p.payment_id AND released_at IS NULL ORDER BY placed_at LIMIT 1
) AS h ON true
WHERE p.status = 'held'
ORDER BY p.amount_cents DESC
LIMIT %(limit)s;

-- name: home_unassigned
SELECT incident_id::text, title, level, opened_at, finding_count, entity_type, entity
FROM incidents
WHERE status <> 'closed' AND assignee IS NULL AND level IN ('critical', 'high')
    AND merged_into IS NULL
ORDER BY array_position(ARRAY['critical', 'high'], level), last_time DESC
LIMIT %(limit)s;

-- name: home_noisy_rules
-- Rules whose incidents of 30 days were judged false or harmless more often than not.
SELECT rule_id, max(title) AS title, count(*)::bigint AS judged,
    count(*) FILTER (WHERE verdict IN ('false_positive', 'benign'))::bigint AS wrong
FROM incidents
WHERE verdict IS NOT NULL AND last_time >= now() - interval '30 days'
GROUP BY rule_id
HAVING count(*) >= 3
    AND count(*) FILTER (WHERE verdict IN ('false_positive', 'benign')) * 2 > count(*)
ORDER BY wrong DESC
LIMIT %(limit)s;

-- name: home_health
SELECT (SELECT coalesce(sum(rejected), 0)::bigint FROM sources) AS rejected,
    (SELECT coalesce(sum(events), 0)::bigint FROM sources) AS events,
    (SELECT max(bucket) FROM source_rates WHERE bucket_s = 10) AS last_arrival,
    (SELECT max(newest) FROM source_rates
        WHERE bucket_s = 10 AND bucket >= now() - interval '5 minutes') AS newest;
