-- name: topology_tell
-- Facts of one commit, in one statement; a few that nobody saw for thirty days are let go.
WITH told AS (
    INSERT INTO topology AS t (tenant_id, kind, one, other, first_at, last_at)
    SELECT i.tenant_id, i.kind, i.one, i.other,
        timestamptz 'epoch' + i.first_us * interval '1 microsecond',
        timestamptz 'epoch' + i.last_us * interval '1 microsecond'
    FROM json_to_recordset(%(facts)s::json) AS i(
        tenant_id text, kind text, one text, other text, first_us bigint, last_us bigint
    )
    ORDER BY i.tenant_id, i.kind, i.one, i.other
    ON CONFLICT (tenant_id, kind, one, other) DO UPDATE
    SET first_at = least(t.first_at, excluded.first_at),
        last_at = greatest(t.last_at, excluded.last_at)
    WHERE excluded.first_at < t.first_at OR excluded.last_at > t.last_at
    RETURNING xmax = 0 AS is_new
), gone AS (
DELETE FROM topology WHERE ctid IN (
    SELECT ctid FROM topology
    WHERE tenant_id = ANY(%(tenants)s::text[]) AND last_at < now() - interval '30 days'
        AND last_at < %(before)s::timestamptz
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
))
SELECT EXISTS (SELECT FROM told WHERE is_new) AS has_new;

-- name: topology_trim
-- Of each kind and tenant that was told, what was seen last stays.
DELETE FROM topology WHERE ctid IN (
    SELECT old.ctid FROM unnest(%(tenants)s::text[]) AS told (tenant_id)
    CROSS JOIN unnest(%(kinds)s::text[]) AS named (kind)
    CROSS JOIN LATERAL (
        SELECT t.ctid FROM topology AS t
        WHERE t.tenant_id = told.tenant_id AND t.kind = named.kind
        ORDER BY t.last_at DESC
        OFFSET %(most)s LIMIT 5000
    ) AS old
);

-- name: topology_list
-- What is known of an address, a name or all; the latest seen first.
SELECT kind, one, other, first_at, last_at
FROM topology
WHERE (%(entity)s::text IS NULL OR one = %(entity)s OR other = %(entity)s)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s)
ORDER BY last_at DESC, kind, one, other
LIMIT %(limit)s;
