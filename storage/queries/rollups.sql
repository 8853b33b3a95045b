-- Counts per entity and class by the minute, hour and day.

-- name: rollups_append
COPY entity_packs (tenant_id, entity_type, class_uid, minute, entities, events) FROM STDIN (FORMAT csv)

-- name: rollups_alone
SELECT pg_try_advisory_xact_lock(hashtextextended('inopsio.rollups', 0)) AS is_alone

-- name: rollups_fold
WITH single AS (
    DELETE FROM entity_deltas RETURNING tenant_id, entity_type, entity, class_uid, minute, events
), packed AS (
    DELETE FROM entity_packs RETURNING tenant_id, entity_type, class_uid, minute, entities, events
), taken AS MATERIALIZED (
    SELECT tenant_id, entity_type, entity, class_uid, minute, events FROM single
    UNION ALL
    SELECT p.tenant_id, p.entity_type, e.entity, p.class_uid, p.minute, e.events
    FROM packed AS p CROSS JOIN LATERAL unnest(p.entities, p.events) AS e(entity, events)
), minutes AS (
    SELECT tenant_id, entity_type, entity, class_uid, minute, sum(events)::bigint AS events
    FROM taken GROUP BY 1, 2, 3, 4, 5
), hours AS (
    SELECT tenant_id, entity_type, entity, class_uid,
        date_bin('1 hour', minute, timestamptz 'epoch') AS start, sum(events)::bigint AS events,
        min(minute) AS first_minute, max(minute) AS last_minute
    FROM minutes GROUP BY 1, 2, 3, 4, 5
), days AS (
    SELECT tenant_id, entity_type, entity, class_uid,
        date_bin('1 day', start, timestamptz 'epoch') AS start, sum(events)::bigint AS events,
        min(first_minute) AS first_minute, max(last_minute) AS last_minute
    FROM hours GROUP BY 1, 2, 3, 4, 5
), by_minute AS (
    INSERT INTO entity_minutes AS m (tenant_id, entity_type, entity, class_uid, start, events)
    SELECT tenant_id, entity_type, entity, class_uid, minute, events FROM minutes
    ORDER BY tenant_id, minute, entity_type, entity, class_uid
    ON CONFLICT (tenant_id, start, entity_type, entity, class_uid) DO UPDATE
    SET events = m.events + excluded.events
), by_hour AS (
    INSERT INTO entity_hours AS h
        (tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute)
    SELECT tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute
    FROM hours ORDER BY tenant_id, start, entity_type, entity, class_uid
    ON CONFLICT (tenant_id, start, entity_type, entity, class_uid) DO UPDATE
    SET events = h.events + excluded.events,
        first_minute = least(h.first_minute, excluded.first_minute),
        last_minute = greatest(h.last_minute, excluded.last_minute)
), by_day AS (
    INSERT INTO entity_days AS d
        (tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute)
    SELECT tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute
    FROM days ORDER BY tenant_id, start, entity_type, entity, class_uid
    ON CONFLICT (tenant_id, start, entity_type, entity, class_uid) DO UPDATE
    SET events = d.events + excluded.events,
        first_minute = least(d.first_minute, excluded.first_minute),
        last_minute = greatest(d.last_minute, excluded.last_minute)
)
SELECT count(*)::bigint AS rows FROM taken
