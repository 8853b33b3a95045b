-- name: inbox_mark
-- Take an event into the inbox; no row when it is there already.
INSERT INTO inbox (tenant_id, consumer, event_id)
VALUES (current_setting('inopsio.tenant'), %(consumer)s, %(event_id)s::uuid)
ON CONFLICT DO NOTHING;

-- name: incident_lock_group
-- One consumer at a time decides about one group; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(
    concat_ws(chr(31), current_setting('inopsio.tenant'),
        %(entity_type)s::text, %(entity)s::text, %(rule_id)s::text), 0));

-- name: incident_of_finding
SELECT incident_id FROM incident_findings WHERE finding_id = %(finding_id)s::uuid LIMIT 1;

-- name: incident_of_group
-- The newest incident of the group, not closed, near the finding's time. Locked, and looked at again
-- once somebody else's change is done: a finding must not slip into one that is being closed.
SELECT incident_id, level, version
FROM incidents
WHERE entity_type = %(entity_type)s AND entity = %(entity)s AND rule_id = %(rule_id)s
    AND status <> 'closed'
    AND last_time >= %(time)s::timestamptz - make_interval(secs => %(window_s)s)
    AND first_time <= %(time)s::timestamptz + make_interval(secs => %(window_s)s)
ORDER BY last_time DESC, incident_id
LIMIT 1
FOR UPDATE;

-- name: incident_open
INSERT INTO incidents (
    tenant_id, incident_id, title, level, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count)
VALUES (
    current_setting('inopsio.tenant'), %(incident_id)s::uuid, %(title)s, %(level)s,
    %(entity_type)s, %(entity)s, %(rule_id)s, now(), %(time)s, %(time)s, 0)
ON CONFLICT DO NOTHING;

-- name: incident_add_finding
INSERT INTO incident_findings (tenant_id, incident_id, finding_id)
VALUES (current_setting('inopsio.tenant'), %(incident_id)s::uuid, %(finding_id)s::uuid)
ON CONFLICT DO NOTHING;

-- name: incident_grow
-- Findings do not move `version`: it guards what people change.
UPDATE incidents
SET finding_count = finding_count + 1,
    first_time = least(first_time, %(time)s),
    last_time = greatest(last_time, %(time)s),
    level = %(level)s
WHERE incident_id = %(incident_id)s::uuid;

-- name: incident_change
-- Null means: leave as it is; `clear_*` empties. No row when the version has moved on.
UPDATE incidents
SET status = coalesce(%(status)s::text, status),
    verdict = CASE WHEN %(clear_verdict)s THEN NULL ELSE coalesce(%(verdict)s::text, verdict) END,
    assignee = CASE WHEN %(clear_assignee)s THEN NULL
        ELSE coalesce(%(assignee)s::text, assignee) END,
    version = version + 1
WHERE incident_id = %(incident_id)s::uuid AND version = %(version)s
RETURNING version;

-- name: incident_get
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, version
FROM incidents
WHERE incident_id = %(incident_id)s::uuid;

-- name: incidents_page
SELECT incident_id::text, title, level, status, verdict, assignee, entity_type, entity, rule_id,
    opened_at, first_time, last_time, finding_count, version
FROM incidents
WHERE (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(level)s::text IS NULL OR level = %(level)s)
    AND (%(assignee)s::text IS NULL OR assignee = %(assignee)s)
    AND (%(entity)s::text IS NULL OR entity = %(entity)s)
    AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
    AND (%(before)s::timestamptz IS NULL
        OR (last_time, incident_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY last_time DESC, incident_id DESC
LIMIT %(limit)s;

-- name: incident_findings_of
SELECT f.finding_id::text, f."time", f.title, f.level, f.event_count
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
