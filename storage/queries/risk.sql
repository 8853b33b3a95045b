-- What claims weigh at a moment, by entity and rule. A claim counts for the entity it is about and by
-- half for those it touches; it halves every `half_life_s`; claims of incidents that people judged
-- false or harmless do not count. Entities come as `storage.schema.entity.canonical` names them.

-- name: risk_parts
-- The parts of some entities, gravest first.
WITH asked AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS a (kind, name)
), mine AS (
    SELECT a.kind, a.name, e.finding_id
    FROM asked AS a
    JOIN incident_entities AS e ON e.entity_type = a.kind AND e.entity = a.name
    WHERE e."time" > %(since)s AND e."time" <= %(at)s
    UNION
    SELECT a.kind, a.name, f.finding_id
    FROM asked AS a
    JOIN findings AS f ON f.entity_type = ANY(
            CASE a.kind WHEN 'user' THEN ARRAY['user', 'mailbox', 'person'] ELSE ARRAY[a.kind] END)
        AND f.entity_key = a.name
    WHERE f."time" > %(since)s AND f."time" <= %(at)s
), cleared AS MATERIALIZED (
    SELECT l.finding_id
    FROM incidents AS i
    JOIN incident_findings AS l ON l.tenant_id = i.tenant_id AND l.incident_id = i.incident_id
    WHERE i.verdict IN ('false_positive', 'benign')
), weighed AS (
    SELECT m.kind AS entity_type, m.name AS entity, f.rule_id, f.level,
        max(f.detector) AS detector, min(f.kind) AS kind, max(f.title) AS title, count(*)::bigint AS claims, max(f."time") AS last_time,
        sum(CASE WHEN f.entity_key = m.name THEN 1.0 ELSE 0.5 END
            * power(0.5, extract(epoch FROM (%(at)s::timestamptz - f."time"))::float8
                / %(half_life_s)s::float8)) AS fresh
    FROM mine AS m
    JOIN findings AS f ON f.finding_id = m.finding_id
    LEFT JOIN cleared AS c ON c.finding_id = m.finding_id
    WHERE c.finding_id IS NULL
    GROUP BY m.kind, m.name, f.rule_id, f.level
)
SELECT entity_type, entity, rule_id, detector, level, kind, title, claims, last_time, fresh
FROM weighed
ORDER BY entity_type, entity, fresh DESC, rule_id
LIMIT 20000;

-- name: risk_top
-- Entities with most points, of one kind or of all; weights go with their levels.
WITH cleared AS MATERIALIZED (
    SELECT l.finding_id
    FROM incidents AS i
    JOIN incident_findings AS l ON l.tenant_id = i.tenant_id AND l.incident_id = i.incident_id
    WHERE i.verdict IN ('false_positive', 'benign')
), weighed AS (
    SELECT e.entity_type, e.entity, f.rule_id, f.level,
        sum(CASE WHEN f.entity_key = e.entity THEN 1.0 ELSE 0.5 END
            * power(0.5, extract(epoch FROM (%(at)s::timestamptz - f."time"))::float8
                / %(half_life_s)s::float8)) AS fresh
    FROM incident_entities AS e
    JOIN findings AS f ON f.finding_id = e.finding_id
    LEFT JOIN cleared AS c ON c.finding_id = e.finding_id
    WHERE e."time" > %(since)s AND e."time" <= %(at)s AND c.finding_id IS NULL
        AND (%(kind)s::text IS NULL OR e.entity_type = %(kind)s)
    GROUP BY e.entity_type, e.entity, f.rule_id, f.level
)
SELECT w.entity_type, w.entity,
    sum(v.weight * least(w.fresh, %(most_of_rule)s::float8)) AS points
FROM weighed AS w
JOIN unnest(%(levels)s::text[], %(weights)s::float8[]) AS v (level, weight) ON v.level = w.level
GROUP BY w.entity_type, w.entity
ORDER BY points DESC, w.entity_type, w.entity
LIMIT %(limit)s;

-- name: risk_moments
-- When each claim about one entity befell it, for its history: (rule, level, own or touched, time).
WITH mine AS (
    SELECT e.finding_id
    FROM incident_entities AS e
    WHERE e.entity_type = %(kind)s AND e.entity = %(name)s
        AND e."time" > %(since)s AND e."time" <= %(at)s
    UNION
    SELECT f.finding_id
    FROM findings AS f
    WHERE f.entity_type = ANY(
            CASE %(kind)s WHEN 'user' THEN ARRAY['user', 'mailbox', 'person'] ELSE ARRAY[%(kind)s] END)
        AND f.entity_key = %(name)s
        AND f."time" > %(since)s AND f."time" <= %(at)s
), cleared AS MATERIALIZED (
    SELECT l.finding_id
    FROM incidents AS i
    JOIN incident_findings AS l ON l.tenant_id = i.tenant_id AND l.incident_id = i.incident_id
    WHERE i.verdict IN ('false_positive', 'benign')
)
SELECT f.rule_id, f.level, f."time",
    f.entity_key = %(name)s AS is_own
FROM mine AS m
JOIN findings AS f ON f.finding_id = m.finding_id
LEFT JOIN cleared AS c ON c.finding_id = m.finding_id
WHERE c.finding_id IS NULL
ORDER BY f."time" DESC
LIMIT 20000;

-- name: risk_behind
-- Documents, vendors, customers and items that stand in the same claims as some entities.
WITH asked AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS a (kind, name)
)
SELECT DISTINCT a.kind AS entity_type, a.name AS entity, o.entity_type AS other_type, o.entity AS other
FROM asked AS a
JOIN incident_entities AS e ON e.entity_type = a.kind AND e.entity = a.name
    AND e."time" > %(since)s AND e."time" <= %(at)s
JOIN incident_entities AS o ON o.tenant_id = e.tenant_id AND o.finding_id = e.finding_id
    AND o.entity_type IN ('document', 'vendor', 'customer', 'item')
LIMIT 20000;
