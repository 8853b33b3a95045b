-- What the console's pages ask beyond the queries that the API asks too.

-- name: console_entity_findings
-- Everything claimed about one entity, in a few numbers.
SELECT count(*)::bigint AS findings, count(DISTINCT rule_id)::bigint AS rules,
    min("time") AS first_time, max("time") AS last_time,
    count(*) FILTER (WHERE level IN ('critical', 'high'))::bigint AS grave
FROM findings
WHERE entity_type = %(entity_type)s AND entity = %(entity)s;

-- name: console_entity_other_findings
SELECT finding_id::text, "time", title, level
FROM findings
WHERE entity_type = %(entity_type)s AND entity = %(entity)s
    AND finding_id <> %(finding_id)s::uuid
ORDER BY abs(extract(epoch FROM ("time" - %(time)s::timestamptz))), finding_id
LIMIT %(limit)s;

-- name: console_entity_events
-- First and last minute in which the entity was seen, and how many events.
SELECT min(first_minute) AS first_time, max(last_minute) AS last_time,
    coalesce(sum(events), 0)::bigint AS events
FROM window_counts
WHERE window_s = 86400 AND entity_type = %(entity_type)s
    AND entity = ANY(ARRAY[%(entity)s, lower(%(entity)s), upper(%(entity)s)]);

-- name: console_events_of_ids
-- The evidence, from the hot days; ids tell their time, so the partitions are few.
SELECT event_id::text, "time", class_uid, activity_id, log_format, product, event_code, source,
    "position", hostname, actor_user, user_name, process_path, cmd_line, parent_path, file_path,
    src_ip, src_port, dst_ip, dst_port, query_hostname, document_uid, vendor_uid, amount_cents,
    message
FROM events
WHERE "time" >= %(since)s AND "time" < %(until)s AND event_id = ANY(%(event_ids)s::uuid[])
ORDER BY "time", event_id
LIMIT %(limit)s;

-- name: console_events_near
-- What else happened to the same entity around a moment, nearest first. Models write hosts small.
SELECT event_id::text, "time", class_uid, activity_id, event_code, hostname, actor_user, user_name,
    process_path, cmd_line, file_path, src_ip, dst_ip, dst_port, query_hostname, document_uid,
    message
FROM events
WHERE "time" >= %(since)s AND "time" < %(until)s
    AND CASE %(entity_type)s
        WHEN 'host' THEN hostname = ANY(
            ARRAY[%(entity)s, lower(%(entity)s), upper(%(entity)s)])
        WHEN 'user' THEN actor_user = %(entity)s OR user_name = %(entity)s
        WHEN 'ip' THEN src_ip = %(entity)s OR dst_ip = %(entity)s
        WHEN 'process' THEN process_path = %(entity)s
        WHEN 'vendor' THEN vendor_uid = %(entity)s
        WHEN 'document' THEN document_uid = %(entity)s
        ELSE false END
ORDER BY abs(extract(epoch FROM ("time" - %(time)s::timestamptz))), event_id
LIMIT %(limit)s;

-- name: console_incidents_of_finding
SELECT i.incident_id::text, i.title, i.level, i.status, i.verdict, i.assignee, i.entity_type,
    i.entity, i.rule_id, i.opened_at, i.first_time, i.last_time, i.finding_count, i.version
FROM incident_findings AS f
JOIN incidents AS i ON i.tenant_id = f.tenant_id AND i.incident_id = f.incident_id
WHERE f.finding_id = %(finding_id)s::uuid
ORDER BY i.last_time DESC
LIMIT 1;

-- name: console_incident_counts
SELECT status, count(*)::bigint AS incidents,
    count(*) FILTER (WHERE level IN ('critical', 'high'))::bigint AS grave,
    count(*) FILTER (WHERE assignee IS NULL)::bigint AS unassigned
FROM incidents
WHERE merged_into IS NULL
GROUP BY status;

-- name: console_incidents
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, version
FROM incidents
WHERE merged_into IS NULL AND (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(levels)s::text[] IS NULL OR level = ANY(%(levels)s::text[]))
    AND (%(assignee)s::text IS NULL OR coalesce(assignee, '') = %(assignee)s)
    AND (%(text)s::text IS NULL OR concat_ws(' ', title, entity, rule_id) ILIKE %(text)s)
ORDER BY
    CASE WHEN %(sort)s = 'level' THEN array_position(
        ARRAY['critical', 'high', 'medium', 'low', 'informational'], level) END,
    last_time DESC, incident_id DESC
OFFSET %(offset)s
LIMIT %(limit)s;

-- name: console_people
-- To whom an incident can be given: those who may work on it.
SELECT name FROM users
WHERE NOT disabled AND roles && ARRAY['analyst', 'admin', 'operator']
ORDER BY name
LIMIT 200;
