-- name: inbox_mark
-- Take an event into the inbox; no row when it is there already.
INSERT INTO inbox (tenant_id, consumer, event_id)
VALUES (current_setting('inopsio.tenant'), %(consumer)s, %(event_id)s::uuid)
ON CONFLICT DO NOTHING;

-- name: incident_lock
-- One at a time decides about a tenant's incidents; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(
    concat_ws(chr(31), 'incidents', current_setting('inopsio.tenant')), 0));

-- name: incident_claim_add
-- No row when the claim is known. A part of a correlation that came before it spreads.
WITH added AS (
    INSERT INTO incident_claims (tenant_id, finding_id, "time", is_grave, is_core)
    SELECT current_setting('inopsio.tenant'), %(finding_id)s::uuid, %(time)s, %(is_grave)s,
        %(is_core)s OR EXISTS (SELECT FROM incident_parts WHERE part_id = %(finding_id)s::uuid)
    ON CONFLICT DO NOTHING
    RETURNING is_core
), entities AS (
    INSERT INTO incident_entities
        (tenant_id, finding_id, entity_type, entity, "time", is_core, is_accused)
    SELECT current_setting('inopsio.tenant'), %(finding_id)s::uuid, e.entity_type, e.entity,
        %(time)s, added.is_core, %(is_grave)s AND e.place = 1 AND %(is_own_joining)s
    FROM added, unnest(%(types)s::text[], %(names)s::text[])
        WITH ORDINALITY AS e(entity_type, entity, place)
), parts AS (
    INSERT INTO incident_parts (tenant_id, part_id, finding_id)
    SELECT current_setting('inopsio.tenant'), part_id, %(finding_id)s::uuid
    FROM added, unnest(%(parts)s::uuid[]) AS p(part_id)
    ON CONFLICT DO NOTHING
)
SELECT is_core, EXISTS (
    SELECT FROM incident_findings WHERE finding_id = %(finding_id)s::uuid) AS is_placed
FROM added;

-- name: incident_claims_unknown
-- Those of these findings that the incidents have not heard of.
SELECT f.finding_id::text, f.tenant_id, f.title, f.level, f.kind, f.entity_type, f.entity,
    f.rule_id, f.links, f.parts::text[] AS parts,
    (extract(epoch FROM f."time") * 1000000)::bigint AS time_us
FROM findings AS f
WHERE f.finding_id = ANY(%(ids)s::uuid[])
    AND NOT EXISTS (SELECT FROM incident_claims AS c WHERE c.finding_id = f.finding_id);

-- name: incident_core_claims
-- Let these spread from now on; gives those that did not before.
WITH moved AS (
    UPDATE incident_claims SET is_core = true
    WHERE finding_id = ANY(%(ids)s::uuid[]) AND NOT is_core AND NOT is_left_out
    RETURNING finding_id
), entities AS (
    UPDATE incident_entities AS e SET is_core = true FROM moved
    WHERE e.finding_id = moved.finding_id
), links AS (
    UPDATE incident_findings AS f SET gap_us = 0, via = NULL FROM moved
    WHERE f.finding_id = moved.finding_id
)
SELECT finding_id::text FROM moved;

-- name: incident_hubs
-- How many others of one kind stand beside each of these entities in the 24 h before a claim, and
-- in how many incidents it is: what very many share joins nothing. Outside addresses and domains
-- are counted by addresses too: many hosts call one vendor.
SELECT m.finding_id::text, m.entity_type, m.entity,
    coalesce((
        SELECT max(n) FROM (
            SELECT count(DISTINCT o.entity) AS n
            FROM (
                SELECT c.finding_id FROM incident_entities AS c
                WHERE c.entity_type = m.entity_type AND c.entity = m.entity
                    AND c."time" > m."time" - make_interval(secs => %(window_s)s)
                    AND c."time" <= m."time"
                ORDER BY c."time" DESC
                LIMIT 1000
            ) AS near
            JOIN incident_entities AS o ON o.finding_id = near.finding_id
            WHERE (o.entity_type IN ('host', 'user')
                    OR (o.entity_type = 'ip' AND m.entity = ANY(%(outside)s::text[])))
                AND (o.entity_type, o.entity) <> (m.entity_type, m.entity)
            GROUP BY o.entity_type
        ) AS by_kind
    ), 0) AS others,
    (
        SELECT count(DISTINCT f.incident_id)
        FROM incident_entities AS c
        JOIN incident_findings AS f ON f.tenant_id = c.tenant_id AND f.finding_id = c.finding_id
        JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
        WHERE c.is_core AND c.entity_type = m.entity_type AND c.entity = m.entity
            AND c."time" BETWEEN m."time" - make_interval(secs => %(window_s)s)
                AND m."time" + make_interval(secs => %(window_s)s)
            AND i.status <> 'closed' AND i.merged_into IS NULL
    ) AS incidents
FROM unnest(%(ids)s::uuid[], %(types)s::text[], %(names)s::text[])
    AS asked(finding_id, entity_type, entity)
JOIN incident_entities AS m USING (finding_id, entity_type, entity);

-- name: incident_nearest
-- For a claim that only joins: by each of its entities the nearest claim that spreads and stands in
-- an incident people work on.
SELECT DISTINCT ON (m.entity_type, m.entity, c.is_accused)
    m.finding_id::text AS seed_id, m.entity_type, m.entity, c.is_accused, c.finding_id::text,
    abs(extract(epoch FROM c."time" - m."time") * 1000000)::bigint AS gap_us, i.incident_id::text
FROM incident_entities AS m
JOIN incident_entities AS c ON c.is_core
    AND c.entity_type = m.entity_type AND c.entity = m.entity
    AND c."time" BETWEEN m."time" - make_interval(secs => %(window_s)s)
        AND m."time" + make_interval(secs => %(window_s)s)
JOIN incident_findings AS f ON f.tenant_id = c.tenant_id AND f.finding_id = c.finding_id
JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
WHERE m.finding_id = %(finding_id)s::uuid AND i.status <> 'closed' AND i.merged_into IS NULL
ORDER BY m.entity_type, m.entity, c.is_accused, gap_us, c.finding_id;

-- name: incident_near_cores
-- Claims that spread and share an entity with these within the window, and where they stand.
SELECT m.finding_id::text AS seed_id, m.entity_type, m.entity,
    m.is_accused OR c.is_accused AS is_accused, c.finding_id::text,
    abs(extract(epoch FROM c."time" - m."time") * 1000000)::bigint AS gap_us,
    s.incident_id::text, s.is_closed
FROM incident_entities AS m
JOIN incident_entities AS c ON c.is_core
    AND c.entity_type = m.entity_type AND c.entity = m.entity
    AND c."time" BETWEEN m."time" - make_interval(secs => %(window_s)s)
        AND m."time" + make_interval(secs => %(window_s)s)
    AND c.finding_id <> m.finding_id
LEFT JOIN LATERAL (
    SELECT i.incident_id, i.status = 'closed' AS is_closed
    FROM incident_findings AS f
    JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
    WHERE f.finding_id = c.finding_id
    ORDER BY i.status = 'closed', i.incident_id
    LIMIT 1
) AS s ON true
WHERE m.finding_id = ANY(%(ids)s::uuid[])
ORDER BY gap_us, c.finding_id
LIMIT 5000;

-- name: incident_tied
-- Claims that a correlation ties to these, whatever their age, and these themselves.
SELECT t.finding_id::text, s.incident_id::text, s.is_closed
FROM (
    SELECT p.part_id AS finding_id FROM incident_parts AS p
    WHERE p.finding_id = ANY(%(ids)s::uuid[])
    UNION
    SELECT p.finding_id FROM incident_parts AS p
    WHERE p.part_id = ANY(%(ids)s::uuid[])
    UNION
    SELECT unnest(%(ids)s::uuid[])
) AS t
JOIN incident_claims AS k ON k.finding_id = t.finding_id AND NOT k.is_left_out
LEFT JOIN LATERAL (
    SELECT i.incident_id, i.status = 'closed' AS is_closed
    FROM incident_findings AS f
    JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
    WHERE f.finding_id = t.finding_id
    ORDER BY i.status = 'closed', i.incident_id
    LIMIT 1
) AS s ON true;

-- name: incident_near_leaves
-- Claims that only join, have an entity in common with these and stand in no incident or in one
-- that is farther from them; each with its nearest of these.
SELECT l.finding_id::text, l.via::text, l.gap_us, s.incident_id::text
FROM (
    SELECT DISTINCT ON (c.finding_id) c.finding_id, m.finding_id AS via,
        abs(extract(epoch FROM c."time" - m."time") * 1000000)::bigint AS gap_us
    FROM incident_entities AS m
    JOIN incident_entities AS c ON NOT c.is_core
        AND c.entity_type = m.entity_type AND c.entity = m.entity
        AND c."time" BETWEEN m."time" - make_interval(secs => %(window_s)s)
            AND m."time" + make_interval(secs => %(window_s)s)
    WHERE m.finding_id = ANY(%(ids)s::uuid[])
        AND (m.is_accused OR (m.finding_id, m.entity_type, m.entity) NOT IN (
            SELECT * FROM unnest(
                %(hub_ids)s::uuid[], %(hub_types)s::text[], %(hub_names)s::text[])))
        AND (m.finding_id, m.entity_type, m.entity) NOT IN (
            SELECT * FROM unnest(
                %(full_ids)s::uuid[], %(full_types)s::text[], %(full_names)s::text[]))
    ORDER BY c.finding_id, gap_us, via
) AS l
JOIN incident_claims AS k ON k.finding_id = l.finding_id AND NOT k.is_left_out
LEFT JOIN LATERAL (
    SELECT i.incident_id, i.status = 'closed' AS is_closed, f.gap_us, f.via
    FROM incident_findings AS f
    JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
    WHERE f.finding_id = l.finding_id
    ORDER BY i.status = 'closed', i.incident_id
    LIMIT 1
) AS s ON true
WHERE s.incident_id IS NULL OR (NOT s.is_closed AND (l.gap_us, l.via) < (s.gap_us, s.via))
ORDER BY l.gap_us, l.finding_id
LIMIT %(limit)s;

-- name: incident_take
-- Those people have not closed, locked and looked at again once somebody else's change is done: a
-- claim must not slip into one that is being closed. The one most worked on comes first.
SELECT incident_id::text, finding_count, title
FROM incidents
WHERE incident_id = ANY(%(ids)s::uuid[]) AND status <> 'closed' AND merged_into IS NULL
ORDER BY status <> 'in_progress', is_named DESC, assignee IS NULL, first_time, incident_id
FOR UPDATE;

-- name: incident_opener
-- The first of these claims that opens an incident; no row when none does.
SELECT f.finding_id::text, f.title, f.level, f.entity_type, f.entity, f.rule_id, f."time"
FROM incident_claims AS k
JOIN findings AS f ON f.tenant_id = k.tenant_id AND f.finding_id = k.finding_id
WHERE k.finding_id = ANY(%(ids)s::uuid[]) AND k.is_grave
ORDER BY f."time", f.finding_id
LIMIT 1;

-- name: incident_open
INSERT INTO incidents (
    tenant_id, incident_id, title, level, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, is_named)
VALUES (
    current_setting('inopsio.tenant'), %(incident_id)s::uuid, %(title)s, %(level)s,
    %(entity_type)s, %(entity)s, %(rule_id)s, now(), %(time)s, %(time)s, 0, %(is_named)s)
ON CONFLICT DO NOTHING;

-- name: incident_add_claims
INSERT INTO incident_findings (tenant_id, incident_id, finding_id, via, gap_us)
SELECT current_setting('inopsio.tenant'), %(incident_id)s::uuid, c.finding_id, c.via, c.gap_us
FROM unnest(%(ids)s::uuid[], %(vias)s::uuid[], %(gaps)s::bigint[]) AS c(finding_id, via, gap_us)
ON CONFLICT (tenant_id, incident_id, finding_id)
DO UPDATE SET via = excluded.via, gap_us = excluded.gap_us;

-- name: incident_drop_claims
DELETE FROM incident_findings
WHERE incident_id = %(incident_id)s::uuid AND finding_id = ANY(%(ids)s::uuid[]);

-- name: incident_grow
-- One more claim that only joins. Claims do not move `version`: it guards what people change.
UPDATE incidents
SET finding_count = finding_count + 1,
    signal_count = signal_count + %(is_signal)s::integer,
    first_time = least(first_time, %(time)s),
    last_time = greatest(last_time, %(time)s),
    level = CASE WHEN array_position(%(levels)s::text[], level)
        < array_position(%(levels)s::text[], %(level)s) THEN %(level)s ELSE level END
WHERE incident_id = %(incident_id)s::uuid;

-- name: incident_refresh
-- Figures from the claims. Gives the claim that names it (a grave correlation, else its gravest
-- finding), or null where people named it.
UPDATE incidents AS i
SET finding_count = c.findings, signal_count = c.signals,
    first_time = coalesce(c.first_time, i.first_time),
    last_time = coalesce(c.last_time, i.last_time),
    level = coalesce((%(levels)s::text[])[c.level], i.level)
FROM (
    SELECT count(*) AS findings, count(*) FILTER (WHERE f.kind = 'signal') AS signals,
        min(f."time") AS first_time, max(f."time") AS last_time,
        max(array_position(%(levels)s::text[], f.level)) AS level,
        (array_agg(ARRAY[f.title, f.entity_type, f.entity] ORDER BY
            (k.is_grave AND cardinality(f.parts) > 0) DESC,
            f.kind = 'finding' DESC, array_position(%(levels)s::text[], f.level) DESC,
            f."time", f.finding_id))[1:1] AS gravest
    FROM incident_findings AS l
    JOIN findings AS f ON f.tenant_id = l.tenant_id AND f.finding_id = l.finding_id
    LEFT JOIN incident_claims AS k
        ON k.tenant_id = l.tenant_id AND k.finding_id = l.finding_id
    WHERE l.incident_id = %(incident_id)s::uuid
) AS c
WHERE i.incident_id = %(incident_id)s::uuid
RETURNING i.title, CASE WHEN NOT i.is_named THEN c.gravest END AS gravest;

-- name: incident_name
UPDATE incidents SET title = %(title)s WHERE incident_id = %(incident_id)s::uuid;

-- name: incident_merge_claims
WITH moved AS (
    UPDATE incident_findings AS f SET incident_id = %(into_id)s::uuid
    WHERE f.incident_id = %(from_id)s::uuid AND NOT EXISTS (
        SELECT FROM incident_findings AS h
        WHERE h.incident_id = %(into_id)s::uuid AND h.finding_id = f.finding_id)
    RETURNING f.finding_id
)
DELETE FROM incident_findings AS f
WHERE f.incident_id = %(from_id)s::uuid AND f.finding_id NOT IN (SELECT finding_id FROM moved);

-- name: incident_merge_notes
UPDATE incident_notes SET incident_id = %(into_id)s::uuid WHERE incident_id = %(from_id)s::uuid;

-- name: incident_merge_end
-- The merged one leads on; so do those that had been merged into it.
UPDATE incidents
SET merged_into = %(into_id)s::uuid, merged_at = coalesce(merged_at, now()),
    version = version + 1, finding_count = 0, signal_count = 0
WHERE incident_id = %(from_id)s::uuid OR merged_into = %(from_id)s::uuid;

-- name: incident_merge_take
-- Who people decide on has become another; whoever had it in hand keeps it.
UPDATE incidents AS i
SET version = i.version + 1, assignee = coalesce(i.assignee, f.assignee)
FROM incidents AS f
WHERE i.incident_id = %(into_id)s::uuid AND f.incident_id = %(from_id)s::uuid;

-- name: incident_unmerge
-- It stands by itself again; nothing when it was not merged into that one.
UPDATE incidents
SET merged_into = NULL, merged_at = NULL, version = version + 1
WHERE incident_id = %(from_id)s::uuid AND merged_into = %(into_id)s::uuid;

-- name: incident_unmerge_claims
UPDATE incident_findings AS f SET incident_id = %(from_id)s::uuid
WHERE f.incident_id = %(into_id)s::uuid AND f.finding_id = ANY(%(ids)s::uuid[]);

-- name: incident_unmerge_notes
UPDATE incident_notes SET incident_id = %(from_id)s::uuid
WHERE incident_id = %(into_id)s::uuid AND note_id = ANY(%(ids)s::uuid[]);

-- name: incident_leave_out
WITH claims AS (
    UPDATE incident_claims SET is_left_out = true, is_core = false
    WHERE finding_id = %(finding_id)s::uuid
)
UPDATE incident_entities SET is_core = false WHERE finding_id = %(finding_id)s::uuid;

-- name: incident_change
-- Null means: leave as it is; `clear_*` empties. No row when the version has moved on.
UPDATE incidents
SET status = coalesce(%(status)s::text, status),
    verdict = CASE WHEN %(clear_verdict)s THEN NULL ELSE coalesce(%(verdict)s::text, verdict) END,
    assignee = CASE WHEN %(clear_assignee)s THEN NULL
        ELSE coalesce(%(assignee)s::text, assignee) END,
    version = version + 1
WHERE incident_id = %(incident_id)s::uuid AND version = %(version)s AND merged_into IS NULL
RETURNING version;

-- name: incident_get
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, signal_count, version,
    merged_into::text, merged_at
FROM incidents
WHERE incident_id = %(incident_id)s::uuid;

-- name: incidents_page
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, signal_count, version,
    merged_into::text, merged_at
FROM incidents
WHERE merged_into IS NULL AND (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(level)s::text IS NULL OR level = %(level)s)
    AND (%(assignee)s::text IS NULL OR assignee = %(assignee)s)
    AND (%(entity)s::text IS NULL OR entity = %(entity)s)
    AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
    AND (%(before)s::timestamptz IS NULL
        OR (last_time, incident_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY last_time DESC, incident_id DESC
LIMIT %(limit)s;

-- name: incident_findings_of
SELECT f.finding_id::text, f."time", f.title, f.level, f.event_count, f.kind
FROM incident_findings AS i
JOIN findings AS f ON f.tenant_id = i.tenant_id AND f.finding_id = i.finding_id
WHERE i.incident_id = %(incident_id)s::uuid
ORDER BY f."time" DESC, f.finding_id
LIMIT %(limit)s;

-- name: incident_notes_of
SELECT note_id::text, at, author, body
FROM incident_notes
WHERE incident_id = %(incident_id)s::uuid
ORDER BY at, note_id
LIMIT %(limit)s;

-- name: incident_note_add
INSERT INTO incident_notes (tenant_id, incident_id, note_id, author, body)
VALUES (current_setting('inopsio.tenant'), %(incident_id)s::uuid, %(note_id)s::uuid,
    %(author)s, %(body)s);

-- name: incident_house_note
-- What the house itself did; up to `most`, the last of which says that no more follow.
INSERT INTO incident_notes (tenant_id, incident_id, note_id, author, body)
SELECT current_setting('inopsio.tenant'), %(incident_id)s::uuid, %(note_id)s::uuid, 'system',
    CASE WHEN n.notes = %(most)s - 1 THEN %(body)s || %(last)s ELSE %(body)s END
FROM (
    SELECT count(*) AS notes FROM incident_notes
    WHERE incident_id = %(incident_id)s::uuid AND author = 'system'
) AS n
WHERE n.notes < %(most)s
ON CONFLICT DO NOTHING;

-- name: incident_timeline
SELECT f.finding_id::text, f."time", f.title, f.level, f.kind, f.rule_id, f.detector,
    f.entity_type, f.entity, f.event_count, f.parts::text[] AS parts, i.via::text
FROM incident_findings AS i
JOIN findings AS f ON f.tenant_id = i.tenant_id AND f.finding_id = i.finding_id
WHERE i.incident_id = %(incident_id)s::uuid
ORDER BY f."time", f.finding_id
LIMIT %(limit)s;

-- name: incident_entities_of
-- Whom the incident is about: under canonical names, those in most of its claims first.
SELECT e.entity_type, e.entity, count(*)::bigint AS claims, min(e."time") AS first_time,
    max(e."time") AS last_time, bool_or(e.is_accused) AS is_accused, bool_or(e.is_core) AS is_core
FROM incident_findings AS i
JOIN incident_entities AS e ON e.tenant_id = i.tenant_id AND e.finding_id = i.finding_id
WHERE i.incident_id = %(incident_id)s::uuid
GROUP BY e.entity_type, e.entity
ORDER BY is_accused DESC, claims DESC, e.entity_type, e.entity
LIMIT %(limit)s;

-- name: incident_live_of_findings
-- In which incidents that people work on these stand.
SELECT DISTINCT i.incident_id::text
FROM incident_findings AS f
JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
WHERE f.finding_id = ANY(%(ids)s::uuid[]) AND i.merged_into IS NULL AND i.status <> 'closed'
ORDER BY 1;

-- name: incident_findings_known
SELECT finding_id::text FROM findings WHERE finding_id = ANY(%(ids)s::uuid[]);

-- name: incident_take_back_in
-- A person wants these in an incident again: they spread as they did before they were taken out.
WITH back AS (
    UPDATE incident_claims AS c SET is_left_out = false, is_core = c.is_grave
        OR EXISTS (SELECT FROM incident_parts AS p WHERE p.part_id = c.finding_id)
        OR EXISTS (SELECT FROM incident_parts AS p WHERE p.finding_id = c.finding_id)
    WHERE c.finding_id = ANY(%(ids)s::uuid[]) AND c.is_left_out
    RETURNING c.finding_id, c.is_core
)
UPDATE incident_entities AS e SET is_core = back.is_core FROM back
WHERE e.finding_id = back.finding_id;

-- name: incident_gravest
SELECT entity_type, entity, rule_id, level, "time"
FROM findings
WHERE finding_id = ANY(%(ids)s::uuid[])
ORDER BY array_position(%(levels)s::text[], level) DESC, "time", finding_id
LIMIT 1;

-- name: incident_shared_names
-- The entities of these claims that others have too.
SELECT m.finding_id::text, m.entity_type, m.entity
FROM incident_entities AS m
WHERE m.finding_id = ANY(%(ids)s::uuid[]) AND EXISTS (
    SELECT FROM incident_entities AS c
    WHERE c.entity_type = m.entity_type AND c.entity = m.entity AND c.finding_id <> m.finding_id);

-- name: incident_finding_ids
-- The claims of an incident, the newest first.
SELECT f.finding_id::text
FROM incident_findings AS i
JOIN findings AS f ON f.tenant_id = i.tenant_id AND f.finding_id = i.finding_id
WHERE i.incident_id = %(incident_id)s::uuid
ORDER BY f."time" DESC, f.finding_id
LIMIT %(limit)s;
