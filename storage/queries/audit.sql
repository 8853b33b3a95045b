-- name: audit_write
INSERT INTO audit_entries (tenant_id, entry_id, actor, action, object, result, detail)
VALUES (current_setting('inopsio.tenant'), %(entry_id)s::uuid, %(actor)s, %(action)s,
    %(object)s, %(result)s, %(detail)s::jsonb);

-- name: audit_page
SELECT entry_id::text, at, actor, action, object, result, detail
FROM audit_entries
WHERE (%(action)s::text IS NULL OR action = %(action)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(before)s::timestamptz IS NULL OR (at, entry_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY at DESC, entry_id DESC
LIMIT %(limit)s;
