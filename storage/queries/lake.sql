-- The lake's manifest.

-- name: lake_live
SELECT path, events, size_bytes, digest,
    round(extract(epoch FROM first_time) * 1000000)::bigint AS first_us,
    round(extract(epoch FROM last_time) * 1000000)::bigint AS last_us
FROM lake_files
WHERE tenant_id = %(tenant)s AND replaced_by IS NULL
AND last_time >= timestamptz 'epoch' + %(since_us)s::bigint * interval '1 microsecond'
AND first_time < timestamptz 'epoch' + %(until_us)s::bigint * interval '1 microsecond'
AND (%(classes)s::integer[] IS NULL OR class_uid = ANY(%(classes)s::integer[]))
ORDER BY first_time, path

-- name: lake_live_at
-- Files that may hold one of these moments, to 2 ms: an event's id tells its millisecond.
SELECT path, events, size_bytes, digest,
    round(extract(epoch FROM first_time) * 1000000)::bigint AS first_us,
    round(extract(epoch FROM last_time) * 1000000)::bigint AS last_us
FROM lake_files
WHERE tenant_id = %(tenant)s AND replaced_by IS NULL
AND EXISTS (
    SELECT FROM unnest(%(moments_us)s::bigint[]) AS asked (us)
    WHERE last_time >= timestamptz 'epoch' + (asked.us - 2000) * interval '1 microsecond'
        AND first_time <= timestamptz 'epoch' + (asked.us + 2000) * interval '1 microsecond')
AND (%(classes)s::integer[] IS NULL OR class_uid = ANY(%(classes)s::integer[]))
ORDER BY first_time, path;

-- name: lake_small
SELECT path, class_uid, day::text AS day, events, size_bytes, digest, topic, first_offset,
    last_offset, round(extract(epoch FROM first_time) * 1000000)::bigint AS first_us,
    round(extract(epoch FROM last_time) * 1000000)::bigint AS last_us,
    max(created_at) OVER (PARTITION BY class_uid, day) < now() - %(quiet_s)s * interval '1 second'
    AS is_quiet
FROM lake_files
WHERE tenant_id = %(tenant)s AND replaced_by IS NULL
AND size_bytes < %(small)s
ORDER BY class_uid, day, first_time, path

-- name: lake_crowded
SELECT DISTINCT tenant_id FROM (
    SELECT tenant_id FROM lake_files
    WHERE replaced_by IS NULL AND size_bytes < %(small)s
    GROUP BY tenant_id, class_uid, day, width_bucket(events, %(tiers)s::bigint[])
    HAVING count(*) >= %(files)s
) AS crowds
ORDER BY tenant_id

-- name: lake_replace
UPDATE lake_files SET replaced_by = %(path)s, replaced_at = now()
WHERE tenant_id = %(tenant)s AND path = ANY(%(old)s) AND replaced_by IS NULL

-- name: lake_replaced
SELECT path FROM lake_files
WHERE tenant_id = %(tenant)s AND replaced_at < now() - %(grace_s)s * interval '1 second'

-- name: lake_forget
DELETE FROM lake_files
WHERE tenant_id = %(tenant)s AND path = ANY(%(paths)s) AND replaced_by IS NOT NULL

-- name: lake_paths
SELECT path FROM lake_files WHERE tenant_id = %(tenant)s

-- name: lake_expire
-- Out of sight at once; the files go with those that a merge replaced.
UPDATE lake_files SET replaced_by = '', replaced_at = now()
WHERE tenant_id = %(tenant)s AND replaced_by IS NULL
AND last_time < timestamptz 'epoch' + %(before_us)s::bigint * interval '1 microsecond'
AND (%(classes)s::integer[] IS NULL OR class_uid = ANY(%(classes)s::integer[]))
AND NOT class_uid = ANY(%(but)s::integer[])
RETURNING path, events, size_bytes
