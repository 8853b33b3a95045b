-- How long is kept what, and what is forgotten. (Sessions of the house are in UTC.)

-- name: retention_list
SELECT kind, class_uid, keep_days, set_by, set_at FROM retention
ORDER BY array_position(ARRAY['events', 'minutes', 'hours', 'days', 'lake'], kind), class_uid
LIMIT 10000

-- name: retention_all
SELECT tenant_id, kind, class_uid, keep_days FROM retention ORDER BY tenant_id, kind, class_uid

-- name: retention_set
INSERT INTO retention (tenant_id, kind, class_uid, keep_days, set_by)
VALUES (current_setting('inopsio.tenant'), %(kind)s, %(class_uid)s, %(keep_days)s, %(set_by)s)
ON CONFLICT (tenant_id, kind, class_uid) DO UPDATE
SET keep_days = excluded.keep_days, set_by = excluded.set_by, set_at = now()

-- name: retention_unset
DELETE FROM retention WHERE kind = %(kind)s AND class_uid = %(class_uid)s

-- name: retention_forget_events
DELETE FROM events AS e
WHERE e.tenant_id = %(tenant)s
    AND e."time" >= %(since)s::timestamptz AND e."time" < %(until)s::timestamptz
    AND e."time" < coalesce(
        (SELECT r.before FROM unnest(%(classes)s::integer[], %(befores)s::timestamptz[])
            AS r(class_uid, before) WHERE r.class_uid = e.class_uid),
        %(before)s::timestamptz)

-- name: retention_forget_minutes
DELETE FROM entity_minutes AS m
WHERE m.tenant_id = %(tenant)s
    AND m.start < greatest(%(before)s::timestamptz,
        (SELECT max(b) FROM unnest(%(befores)s::timestamptz[]) AS b))
    AND m.start < coalesce(
        (SELECT r.before FROM unnest(%(classes)s::integer[], %(befores)s::timestamptz[])
            AS r(class_uid, before) WHERE r.class_uid = m.class_uid),
        %(before)s::timestamptz)

-- name: retention_forget_hours
DELETE FROM entity_hours AS h
WHERE h.tenant_id = %(tenant)s
    AND h.start < greatest(%(before)s::timestamptz,
        (SELECT max(b) FROM unnest(%(befores)s::timestamptz[]) AS b))
    AND h.start < coalesce(
        (SELECT r.before FROM unnest(%(classes)s::integer[], %(befores)s::timestamptz[])
            AS r(class_uid, before) WHERE r.class_uid = h.class_uid),
        %(before)s::timestamptz)

-- name: retention_forget_days
DELETE FROM entity_days AS d
WHERE d.tenant_id = %(tenant)s
    AND d.start < greatest(%(before)s::timestamptz,
        (SELECT max(b) FROM unnest(%(befores)s::timestamptz[]) AS b))
    AND d.start < coalesce(
        (SELECT r.before FROM unnest(%(classes)s::integer[], %(befores)s::timestamptz[])
            AS r(class_uid, before) WHERE r.class_uid = d.class_uid),
        %(before)s::timestamptz)
