-- What the pages of one finding, entity, graph or incident ask. Events are bounded by time, always.

-- name: investigate_events
-- What befell any of these entities, nearest to a moment first; names come as `canonical` gives them.
SELECT event_id::text, "time", class_uid, activity_id, event_code, product, source, hostname,
    actor_user, user_name, process_path, cmd_line, parent_path, file_path, src_ip, dst_ip, dst_port,
    query_hostname, document_uid, vendor_uid, amount_cents, left(message, 400) AS message
FROM events
WHERE "time" >= %(since)s AND "time" < %(until)s
    AND (lower(split_part(hostname, '.', 1)) = ANY(%(hosts)s::text[])
        OR lower(split_part(split_part(actor_user, '\', -1), '@', 1)) = ANY(%(users)s::text[])
        OR lower(split_part(split_part(user_name, '\', -1), '@', 1)) = ANY(%(users)s::text[])
        OR src_ip = ANY(%(ips)s::text[]) OR dst_ip = ANY(%(ips)s::text[])
        OR hostname = ANY(%(ips)s::text[])
        OR vendor_uid = ANY(%(vendors)s::text[]) OR document_uid = ANY(%(documents)s::text[])
        OR lower(query_hostname) = ANY(%(domains)s::text[])
        OR lower(process_path) = ANY(%(programs)s::text[]))
ORDER BY abs(extract(epoch FROM ("time" - %(at)s::timestamptz))), event_id
LIMIT %(limit)s;

-- name: investigate_events_of
-- Events by id; an id tells its millisecond, so each is one look into one day.
SELECT e.event_id::text, e."time", e.class_uid, e.activity_id, e.event_code, e.product, e.source,
    e.hostname, e.actor_user, e.user_name, e.process_path, e.cmd_line, e.parent_path, e.file_path,
    e.src_ip, e.dst_ip, e.dst_port, e.query_hostname, e.document_uid, e.vendor_uid, e.amount_cents,
    left(e.message, 400) AS message
FROM unnest(%(event_ids)s::uuid[], %(times)s::timestamptz[]) AS asked (event_id, at)
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE "time" >= asked.at - interval '2 milliseconds'
        AND "time" < asked.at + interval '2 milliseconds' AND event_id = asked.event_id
    LIMIT 1
) AS e
ORDER BY e."time", e.event_id;

-- name: investigate_parts
-- The claims a correlation rests on, in order of time.
SELECT finding_id::text, "time", detector, rule_id, title, level, kind, entity_type, entity,
    event_ids[1:1]::text[] AS event_ids, event_count, reasons, attack, links
FROM findings
WHERE finding_id = ANY(%(finding_ids)s::uuid[])
ORDER BY "time", finding_id
LIMIT %(limit)s;

-- name: investigate_kind
SELECT kind, parts::text[] AS parts FROM findings WHERE finding_id = %(finding_id)s::uuid;

-- name: investigate_similar
-- The same rule elsewhere, nearest in time.
(SELECT finding_id::text, "time", title, level, kind, entity_type, entity
    FROM findings
    WHERE rule_id = %(rule_id)s AND "time" >= %(at)s::timestamptz
        AND finding_id <> %(finding_id)s::uuid
    ORDER BY "time"
    LIMIT %(limit)s)
UNION ALL
(SELECT finding_id::text, "time", title, level, kind, entity_type, entity
    FROM findings
    WHERE rule_id = %(rule_id)s AND "time" < %(at)s::timestamptz
        AND finding_id <> %(finding_id)s::uuid
    ORDER BY "time" DESC
    LIMIT %(limit)s);

-- name: investigate_story
-- Everything an incident is made of, oldest first.
SELECT f.finding_id::text, f."time", f.detector, f.rule_id, f.title, f.level, f.kind,
    f.entity_type, f.entity, f.event_ids[1:1]::text[] AS event_ids, f.event_count, f.reasons,
    f.attack, f.links, f.parts::text[] AS parts
FROM incident_findings AS i
JOIN findings AS f ON f.tenant_id = i.tenant_id AND f.finding_id = i.finding_id
WHERE i.incident_id = %(incident_id)s::uuid
ORDER BY f."time", f.finding_id
LIMIT %(limit)s;

-- name: investigate_entity_findings
-- Claims about an entity or touching it, newest first; `name` as `canonical` gives it.
WITH mine AS (
    (SELECT finding_id FROM incident_entities
        WHERE entity_type = %(kind)s AND entity = %(name)s
            AND "time" >= %(since)s AND "time" < %(until)s
        ORDER BY "time" DESC
        LIMIT %(limit)s)
    UNION
    (SELECT finding_id FROM findings
        WHERE entity_type = ANY(%(types)s::text[])
            AND entity_key = %(name)s
            AND "time" >= %(since)s AND "time" < %(until)s
        ORDER BY "time" DESC
        LIMIT %(limit)s)
)
SELECT f.finding_id::text, f."time", f.detector, f.rule_id, f.title, f.level, f.kind,
    f.entity_type, f.entity, f.event_ids[1:1]::text[] AS event_ids, f.event_count, f.attack,
    f.links, f.reasons
FROM mine
JOIN findings AS f USING (finding_id)
ORDER BY f."time" DESC, f.finding_id
LIMIT %(limit)s;

-- name: investigate_newest
SELECT max("time") AS last_time FROM findings;

-- name: investigate_counts
-- Events of the entity by day, under whatever spelling.
SELECT window_start AS day, sum(events)::bigint AS events,
    min(first_minute) AS first_time, max(last_minute) AS last_time
FROM window_counts
WHERE window_s = 86400 AND window_start > %(since)s::timestamptz - interval '1 day'
    AND window_start < %(until)s AND entity_type = ANY(%(types)s::text[]) AND entity_key = %(name)s
GROUP BY day
ORDER BY day;

-- name: investigate_spellings
-- How sources write the entity, the most usual first.
SELECT entity, sum(events)::bigint AS events
FROM window_counts
WHERE window_s = 86400 AND window_start > %(since)s::timestamptz - interval '1 day'
    AND window_start < %(until)s AND entity_type = ANY(%(types)s::text[]) AND entity_key = %(name)s
GROUP BY entity
ORDER BY events DESC, entity
LIMIT %(limit)s;

-- name: investigate_peers
-- What is usual for one of its kind: quartiles over all of them of events in the same time.
WITH each_one AS (
    SELECT entity_key AS name, sum(events) AS events FROM window_counts
    WHERE window_s = 3600 AND window_start >= %(since)s AND window_start < %(until)s
        AND entity_type = %(kind)s
    GROUP BY name
)
SELECT coalesce(sum(events) FILTER (WHERE name = %(name)s), 0)::bigint AS events,
    percentile_disc(0.25) WITHIN GROUP (ORDER BY events)::bigint AS low,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY events)::bigint AS middle,
    percentile_disc(0.75) WITHIN GROUP (ORDER BY events)::bigint AS high,
    count(*)::bigint AS entities
FROM each_one;

-- name: investigate_incidents_of
-- Incidents that hold any of these claims, the open first.
SELECT DISTINCT ON (i.status = 'closed', i.last_time, i.incident_id)
    i.incident_id::text, i.title, i.level, i.status, i.verdict, i.assignee, i.last_time,
    i.finding_count
FROM incident_findings AS f
JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
WHERE f.finding_id = ANY(%(finding_ids)s::uuid[])
ORDER BY i.status = 'closed', i.last_time DESC, i.incident_id
LIMIT %(limit)s;

-- name: investigate_board
-- One column of the board: the gravest or latest first.
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, opened_at,
    first_time, last_time, finding_count, signal_count, version
FROM incidents
WHERE status = %(status)s AND merged_into IS NULL
    AND (%(levels)s::text[] IS NULL OR level = ANY(%(levels)s::text[]))
    AND (%(assignee)s::text IS NULL OR coalesce(assignee, '') = %(assignee)s)
    AND (%(text)s::text IS NULL OR concat_ws(' ', title, entity, rule_id) ILIKE %(text)s)
ORDER BY
    CASE WHEN %(sort)s = 'level' THEN array_position(
        ARRAY['critical', 'high', 'medium', 'low', 'informational'], level) END,
    last_time DESC, incident_id DESC
LIMIT %(limit)s;

-- name: investigate_board_counts
SELECT status, count(*)::bigint AS incidents
FROM incidents
WHERE merged_into IS NULL
    AND (%(levels)s::text[] IS NULL OR level = ANY(%(levels)s::text[]))
    AND (%(assignee)s::text IS NULL OR coalesce(assignee, '') = %(assignee)s)
    AND (%(text)s::text IS NULL OR concat_ws(' ', title, entity, rule_id) ILIKE %(text)s)
GROUP BY status;

-- name: investigate_board_entities
-- Whom the claims of these incidents are about, and touch.
SELECT i.incident_id::text, f.entity_type, f.entity, f.links
FROM unnest(%(incident_ids)s::uuid[]) AS asked (incident_id)
CROSS JOIN LATERAL (
    SELECT * FROM incident_findings AS held
    WHERE held.incident_id = asked.incident_id
    LIMIT %(limit)s
) AS i
JOIN findings AS f ON f.tenant_id = i.tenant_id AND f.finding_id = i.finding_id;

-- name: investigate_activity
-- Who did what to it, newest first.
SELECT at, actor, action, result, detail
FROM audit_entries
WHERE object = %(object)s AND at >= %(since)s
ORDER BY at DESC, entry_id DESC
LIMIT %(limit)s;

-- name: investigate_graph_counts
-- In how many claims each of these entities is, for those that a graph can grow by.
SELECT asked.kind, asked.name, counted.claims
FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS asked (kind, name)
CROSS JOIN LATERAL (
    SELECT count(*)::bigint AS claims FROM (
        SELECT FROM incident_entities AS e
        WHERE e.entity_type = asked.kind AND e.entity = asked.name
            AND e."time" >= %(since)s AND e."time" < %(until)s
        LIMIT 1000
    ) AS at_most
) AS counted;

-- name: investigate_graph_claims
-- Claims by id, with what they rest on.
SELECT finding_id::text, "time", rule_id, title, level, kind, entity_type, entity, links, reasons,
    event_count, parts::text[] AS parts
FROM findings
WHERE finding_id = ANY(%(finding_ids)s::uuid[])
ORDER BY "time" DESC, finding_id
LIMIT %(limit)s;

-- name: investigate_graph_above
-- Correlations that rest on this claim.
SELECT f.finding_id::text
FROM incident_parts AS p
JOIN findings AS f ON f.tenant_id = p.tenant_id AND f.finding_id = p.finding_id
WHERE p.part_id = %(finding_id)s::uuid
LIMIT 20;

-- name: investigate_names
-- Names that people know behind ids; a payment or invoice is known by whom it is for.
(SELECT 'vendor' AS kind, vendor_id AS id, name FROM erp_vendors
    WHERE vendor_id = ANY(%(vendors)s::text[]))
UNION ALL
(SELECT 'item', item_id, name FROM erp_items WHERE item_id = ANY(%(items)s::text[]))
UNION ALL
(SELECT 'customer', customer_uid, name FROM crm_companies
    WHERE customer_uid = ANY(%(customers)s::text[]))
UNION ALL
(SELECT 'document', p.payment_id, 'Payment to ' || v.name
    FROM erp_payments AS p
    JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
    WHERE p.payment_id = ANY(%(documents)s::text[]))
UNION ALL
(SELECT 'document', i.invoice_id, 'Invoice of ' || v.name
    FROM erp_invoices AS i
    JOIN erp_vendors AS v ON v.tenant_id = i.tenant_id AND v.vendor_id = i.vendor_id
    WHERE i.invoice_id = ANY(%(documents)s::text[]))
LIMIT %(limit)s;
