-- name: captures_tell
-- What sensors said, in one statement; what is older than what is known changes nothing.
INSERT INTO captures AS c
    (tenant_id, sensor, interface, started_at, told_at, packets, dropped, lost_at)
SELECT i.tenant_id, i.sensor, i.interface,
    timestamptz 'epoch' + i.started_us * interval '1 microsecond',
    timestamptz 'epoch' + i.told_us * interval '1 microsecond', i.packets, i.dropped,
    timestamptz 'epoch' + i.lost_us * interval '1 microsecond'
FROM json_to_recordset(%(told)s::json) AS i(
    tenant_id text, sensor text, interface text, started_us bigint, told_us bigint,
    packets bigint, dropped bigint, lost_us bigint
)
ORDER BY i.tenant_id, i.sensor, i.interface
ON CONFLICT (tenant_id, sensor, interface) DO UPDATE
SET started_at = excluded.started_at, told_at = excluded.told_at, packets = excluded.packets,
    dropped = excluded.dropped, lost_at = coalesce(excluded.lost_at, c.lost_at)
WHERE excluded.told_at >= c.told_at;

-- name: captures_sweep
-- Sensors that were silent for thirty days go, and those over the most that a tenant may have.
DELETE FROM captures WHERE ctid IN (
    SELECT c.ctid FROM captures AS c
    WHERE c.tenant_id = ANY(%(tenants)s::text[])
        AND c.told_at < least(now() - interval '30 days', %(before)s::timestamptz)
    UNION ALL
    SELECT old.ctid FROM unnest(%(tenants)s::text[]) AS told (tenant_id)
    CROSS JOIN LATERAL (
        SELECT c.ctid FROM captures AS c
        WHERE c.tenant_id = told.tenant_id
        ORDER BY c.told_at DESC
        OFFSET %(most)s
    ) AS old
);

-- name: captures_list
-- The sensors of a tenant, those that lost packets last first.
SELECT sensor, interface, started_at, told_at, packets, dropped, lost_at
FROM captures
ORDER BY lost_at DESC NULLS LAST, sensor, interface
LIMIT %(limit)s;
