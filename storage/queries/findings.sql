-- name: finding_get
SELECT finding_id::text, "time", detector, detector_version, rule_id, title, level, entity_type,
    entity, event_ids::text[] AS event_ids, event_count, reasons, attack, links, created_at
FROM findings
WHERE finding_id = %(finding_id)s::uuid;

-- name: findings_page
SELECT finding_id::text, "time", detector, detector_version, rule_id, title, level, entity_type,
    entity, event_ids::text[] AS event_ids, event_count, reasons, attack, links, created_at
FROM findings
WHERE (%(since)s::timestamptz IS NULL OR "time" >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR "time" < %(until)s)
    AND (%(level)s::text IS NULL OR level = %(level)s)
    AND (%(detector)s::text IS NULL OR detector = %(detector)s)
    AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
    AND (%(entity_type)s::text IS NULL OR entity_type = %(entity_type)s)
    AND (%(entity)s::text IS NULL OR entity = %(entity)s)
    AND (%(before)s::timestamptz IS NULL
        OR ("time", finding_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY "time" DESC, finding_id DESC
LIMIT %(limit)s;
