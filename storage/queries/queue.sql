-- The queue of findings: grouped by rule and entity (one whatever its spelling), or one by one; what
-- people have judged is left out unless asked for. `text` is a LIKE pattern, escaped by the caller.

-- name: queue_counts
-- How many of each level in a bucket of `step_s` seconds; the buckets begin at the epoch.
WITH judged AS MATERIALIZED (
    SELECT l.finding_id FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE %(state)s = 'open' AND i.status = 'closed' AND i.verdict IS NOT NULL
)
SELECT floor(extract(epoch FROM f."time") / %(step_s)s)::bigint AS bucket, f.level,
    count(*)::bigint AS findings
FROM findings AS f
LEFT JOIN judged ON judged.finding_id = f.finding_id
WHERE (%(kind)s = 'all' OR f.kind = %(kind)s)
    AND (%(since)s::timestamptz IS NULL OR f."time" >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR f."time" < %(until)s)
    AND (%(levels)s::text[] IS NULL OR f.level = ANY(%(levels)s::text[]))
    AND (%(detector)s::text IS NULL OR f.detector = %(detector)s)
    AND (%(rule_id)s::text IS NULL OR f.rule_id = %(rule_id)s)
    AND (%(entity)s::text IS NULL OR f.entity_key = entity_name(f.entity_type, %(entity)s))
    AND (%(no_levels)s::text[] IS NULL OR f.level <> ALL(%(no_levels)s::text[]))
    AND (%(no_detectors)s::text[] IS NULL OR f.detector <> ALL(%(no_detectors)s::text[]))
    AND (%(no_rules)s::text[] IS NULL OR f.rule_id <> ALL(%(no_rules)s::text[]))
    AND (%(no_entities)s::text[] IS NULL OR NOT EXISTS (
        SELECT FROM unnest(%(no_entities)s::text[]) AS o (entity)
        WHERE entity_name(f.entity_type, o.entity) = f.entity_key))
    AND (%(text)s::text IS NULL
        OR concat_ws(' ', f.title, f.entity, f.rule_id, array_to_string(f.attack, ' '))
            ILIKE %(text)s)
    AND judged.finding_id IS NULL
GROUP BY bucket, f.level
ORDER BY bucket
LIMIT 5000;

-- name: queue_groups
-- One page of groups, the newest claim of each, and the incident that claim is in.
WITH judged AS MATERIALIZED (
    SELECT l.finding_id FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE %(state)s = 'open' AND i.status = 'closed' AND i.verdict IS NOT NULL
), groups AS (
    SELECT f.rule_id, f.entity_type, f.entity_key, count(*)::bigint AS findings,
        min(array_position(ARRAY['critical', 'high', 'medium', 'low', 'informational'], f.level)) AS gravity,
        min(f."time") AS first_time, max(f."time") AS last_time, sum(f.event_count)::bigint AS events
    FROM findings AS f
    LEFT JOIN judged ON judged.finding_id = f.finding_id
    WHERE (%(kind)s = 'all' OR f.kind = %(kind)s)
        AND (%(since)s::timestamptz IS NULL OR f."time" >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR f."time" < %(until)s)
        AND (%(levels)s::text[] IS NULL OR f.level = ANY(%(levels)s::text[]))
        AND (%(detector)s::text IS NULL OR f.detector = %(detector)s)
        AND (%(rule_id)s::text IS NULL OR f.rule_id = %(rule_id)s)
        AND (%(entity)s::text IS NULL OR f.entity_key = entity_name(f.entity_type, %(entity)s))
        AND (%(no_levels)s::text[] IS NULL OR f.level <> ALL(%(no_levels)s::text[]))
        AND (%(no_detectors)s::text[] IS NULL OR f.detector <> ALL(%(no_detectors)s::text[]))
        AND (%(no_rules)s::text[] IS NULL OR f.rule_id <> ALL(%(no_rules)s::text[]))
        AND (%(no_entities)s::text[] IS NULL OR NOT EXISTS (
        SELECT FROM unnest(%(no_entities)s::text[]) AS o (entity)
        WHERE entity_name(f.entity_type, o.entity) = f.entity_key))
        AND (%(text)s::text IS NULL
            OR concat_ws(' ', f.title, f.entity, f.rule_id, array_to_string(f.attack, ' '))
                ILIKE %(text)s)
        AND judged.finding_id IS NULL
    GROUP BY f.rule_id, f.entity_type, f.entity_key
    ORDER BY
        CASE WHEN %(sort)s = 'level' THEN min(array_position(ARRAY['critical', 'high', 'medium', 'low', 'informational'], f.level)) END,
        CASE WHEN %(sort)s = 'count' THEN count(*) END DESC,
        CASE WHEN %(sort)s = 'oldest' THEN min(f."time") END,
        max(f."time") DESC, f.rule_id, f.entity_key
    OFFSET %(offset)s LIMIT %(limit)s
)
SELECT g.rule_id, g.entity_type, n.entity, g.findings, g.first_time, g.last_time AS "time", g.events,
    (ARRAY['critical', 'high', 'medium', 'low', 'informational'])[g.gravity] AS level,
    n.finding_id::text, n.title, n.detector, n.attack, n.kind,
    i.incident_id::text, i.status, i.assignee, i.verdict
FROM groups AS g
CROSS JOIN LATERAL (
    SELECT f.finding_id, f.title, f.detector, f.attack, f.kind, f.entity FROM findings AS f
    WHERE f.rule_id = g.rule_id AND f.entity_type = g.entity_type AND f.entity_key = g.entity_key
        AND f."time" <= g.last_time AND (%(kind)s = 'all' OR f.kind = %(kind)s)
    ORDER BY f."time" DESC LIMIT 1
) AS n
LEFT JOIN LATERAL (
    SELECT i.incident_id, i.status, i.assignee, i.verdict
    FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE l.finding_id = n.finding_id
    ORDER BY (i.status = 'closed'), i.last_time DESC LIMIT 1
) AS i ON true
ORDER BY
    CASE WHEN %(sort)s = 'level' THEN g.gravity END,
    CASE WHEN %(sort)s = 'count' THEN g.findings END DESC,
    CASE WHEN %(sort)s = 'oldest' THEN g.first_time END,
    g.last_time DESC, g.rule_id, g.entity_key;

-- name: queue_rows
-- One page of claims, one by one.
WITH judged AS MATERIALIZED (
    SELECT l.finding_id FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE %(state)s = 'open' AND i.status = 'closed' AND i.verdict IS NOT NULL
), page AS (
    SELECT f.finding_id, f."time", f.rule_id, f.detector, f.title, f.level, f.entity_type, f.entity,
        f.event_count, f.attack, f.kind
    FROM findings AS f
    LEFT JOIN judged ON judged.finding_id = f.finding_id
    WHERE (%(kind)s = 'all' OR f.kind = %(kind)s)
        AND (%(since)s::timestamptz IS NULL OR f."time" >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR f."time" < %(until)s)
        AND (%(levels)s::text[] IS NULL OR f.level = ANY(%(levels)s::text[]))
        AND (%(detector)s::text IS NULL OR f.detector = %(detector)s)
        AND (%(rule_id)s::text IS NULL OR f.rule_id = %(rule_id)s)
        AND (%(entity)s::text IS NULL OR f.entity_key = entity_name(f.entity_type, %(entity)s))
        AND (%(no_levels)s::text[] IS NULL OR f.level <> ALL(%(no_levels)s::text[]))
        AND (%(no_detectors)s::text[] IS NULL OR f.detector <> ALL(%(no_detectors)s::text[]))
        AND (%(no_rules)s::text[] IS NULL OR f.rule_id <> ALL(%(no_rules)s::text[]))
        AND (%(no_entities)s::text[] IS NULL OR NOT EXISTS (
        SELECT FROM unnest(%(no_entities)s::text[]) AS o (entity)
        WHERE entity_name(f.entity_type, o.entity) = f.entity_key))
        AND (%(text)s::text IS NULL
            OR concat_ws(' ', f.title, f.entity, f.rule_id, array_to_string(f.attack, ' '))
                ILIKE %(text)s)
        AND judged.finding_id IS NULL
    ORDER BY
        CASE WHEN %(sort)s = 'level' THEN array_position(ARRAY['critical', 'high', 'medium', 'low', 'informational'], f.level) END,
        CASE WHEN %(sort)s = 'count' THEN f.event_count END DESC,
        CASE WHEN %(sort)s = 'oldest' THEN f."time" END,
        f."time" DESC, f.finding_id DESC
    OFFSET %(offset)s LIMIT %(limit)s
)
SELECT p.finding_id::text, p."time", p.rule_id, p.detector, p.title, p.level, p.entity_type, p.entity,
    1::bigint AS findings, p.event_count AS events, p.attack, p.kind,
    i.incident_id::text, i.status, i.assignee, i.verdict
FROM page AS p
LEFT JOIN LATERAL (
    SELECT i.incident_id, i.status, i.assignee, i.verdict
    FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE l.finding_id = p.finding_id
    ORDER BY (i.status = 'closed'), i.last_time DESC LIMIT 1
) AS i ON true
ORDER BY
    CASE WHEN %(sort)s = 'level' THEN array_position(ARRAY['critical', 'high', 'medium', 'low', 'informational'], p.level) END,
    CASE WHEN %(sort)s = 'count' THEN p.event_count END DESC,
    CASE WHEN %(sort)s = 'oldest' THEN p."time" END,
    p."time" DESC, p.finding_id DESC;

-- name: queue_edges
-- The newest claim and the newest arrival of a kind: two looks into an index.
SELECT (SELECT max("time") FROM findings WHERE kind = 'finding') AS newest,
    (SELECT max(created_at) FROM findings WHERE kind = 'finding') AS arrived,
    EXISTS (SELECT 1 FROM findings) AS has_any;

-- name: queue_span
-- First and last time of what the filter's time lets through, by index.
SELECT min("time") AS first_time, max("time") AS last_time
FROM findings
WHERE (%(since)s::timestamptz IS NULL OR "time" >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR "time" < %(until)s);

-- name: queue_rules
-- Rules that claimed most of the newest 50,000 claims.
SELECT rule_id, max(title) AS title, count(*)::bigint AS findings
FROM (
    SELECT rule_id, title FROM findings
    WHERE %(kind)s = 'all' OR kind = %(kind)s
    ORDER BY "time" DESC LIMIT 50000
) AS newest
GROUP BY rule_id
ORDER BY findings DESC, rule_id
LIMIT 100;

-- name: queue_chosen
-- The claims of one group that the filter lets through, newest first, with their incident.
WITH judged AS MATERIALIZED (
    SELECT l.finding_id FROM incident_findings AS l
    JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
    WHERE %(state)s = 'open' AND i.status = 'closed' AND i.verdict IS NOT NULL
)
SELECT f.finding_id::text, f.title, f.entity_type, f.entity,
    (SELECT i.incident_id::text FROM incident_findings AS l
        JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
        WHERE l.finding_id = f.finding_id AND i.merged_into IS NULL
        ORDER BY (i.status = 'closed'), i.last_time DESC LIMIT 1) AS incident_id
FROM findings AS f
LEFT JOIN judged ON judged.finding_id = f.finding_id
WHERE (%(kind)s = 'all' OR f.kind = %(kind)s)
    AND (%(since)s::timestamptz IS NULL OR f."time" >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR f."time" < %(until)s)
    AND (%(levels)s::text[] IS NULL OR f.level = ANY(%(levels)s::text[]))
    AND (%(detector)s::text IS NULL OR f.detector = %(detector)s)
    AND (%(rule_id)s::text IS NULL OR f.rule_id = %(rule_id)s)
    AND (%(entity)s::text IS NULL OR f.entity_key = entity_name(f.entity_type, %(entity)s))
    AND (%(no_levels)s::text[] IS NULL OR f.level <> ALL(%(no_levels)s::text[]))
    AND (%(no_detectors)s::text[] IS NULL OR f.detector <> ALL(%(no_detectors)s::text[]))
    AND (%(no_rules)s::text[] IS NULL OR f.rule_id <> ALL(%(no_rules)s::text[]))
    AND (%(no_entities)s::text[] IS NULL OR NOT EXISTS (
        SELECT FROM unnest(%(no_entities)s::text[]) AS o (entity)
        WHERE entity_name(f.entity_type, o.entity) = f.entity_key))
    AND (%(text)s::text IS NULL
        OR concat_ws(' ', f.title, f.entity, f.rule_id, array_to_string(f.attack, ' '))
            ILIKE %(text)s)
    AND judged.finding_id IS NULL
    AND f.entity_type = %(entity_type)s
ORDER BY f."time" DESC
LIMIT %(limit)s;

-- name: queue_chosen_ones
-- Claims by id, with their incident.
SELECT f.finding_id::text, f.title, f.entity_type, f.entity,
    (SELECT i.incident_id::text FROM incident_findings AS l
        JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
        WHERE l.finding_id = f.finding_id AND i.merged_into IS NULL
        ORDER BY (i.status = 'closed'), i.last_time DESC LIMIT 1) AS incident_id
FROM findings AS f
WHERE f.finding_id = ANY(%(ids)s::uuid[])
ORDER BY f."time" DESC
LIMIT 500;

-- name: saved_views
SELECT name, search FROM saved_views WHERE page = %(page)s ORDER BY name LIMIT 50;

-- name: saved_view_put
INSERT INTO saved_views (tenant_id, owner, page, name, search)
SELECT current_setting('inopsio.tenant'), current_setting('inopsio.actor'), %(page)s, %(name)s,
    %(search)s
WHERE (SELECT count(*) FROM saved_views) < 200
ON CONFLICT (tenant_id, owner, page, name) DO UPDATE SET search = excluded.search;

-- name: saved_view_drop
DELETE FROM saved_views WHERE page = %(page)s AND name = %(name)s
RETURNING search;
