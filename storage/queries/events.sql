-- name: events_page
-- Bounded by time always; `text` comes as a LIKE pattern, escaped by the caller.
SELECT event_id::text, "time", class_uid, activity_id, severity_id, log_format, product,
    event_code, source, "position", hostname, actor_user, user_name, process_path, cmd_line,
    parent_path, file_path, src_ip, src_port, dst_ip, dst_port, query_hostname, document_uid,
    vendor_uid, amount_cents, message
FROM events
WHERE "time" >= %(since)s AND "time" < %(until)s
    AND (%(host)s::text IS NULL OR hostname = %(host)s)
    AND (%(user)s::text IS NULL OR actor_user = %(user)s OR user_name = %(user)s)
    AND (%(ip)s::text IS NULL OR src_ip = %(ip)s OR dst_ip = %(ip)s)
    AND (%(class_uid)s::integer IS NULL OR class_uid = %(class_uid)s)
    AND (%(text)s::text IS NULL
        OR concat_ws(' ', process_path, cmd_line, parent_path, file_path, query_hostname,
            document_uid, message) ILIKE %(text)s)
    AND (%(before)s::timestamptz IS NULL OR ("time", event_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY "time" DESC, event_id DESC
LIMIT %(limit)s;

-- name: event_times
SELECT min("time") AS first_time, max("time") AS last_time FROM events;

-- name: sources_page
SELECT source, name, log_format, next_position, events, rejected, last_reason, updated_at
FROM sources
WHERE (%(after)s::text IS NULL OR source > %(after)s)
ORDER BY source
LIMIT %(limit)s;

-- name: sources_freshness
SELECT count(*) AS sources, coalesce(sum(events), 0)::bigint AS events,
    coalesce(sum(rejected), 0)::bigint AS rejected, max(updated_at) AS updated_at
FROM sources;

-- name: limit_statement_time
-- A search that takes too long ends; the setting lasts for this transaction.
SELECT set_config('statement_timeout', %(milliseconds)s::text, true);

-- name: flow_positions
-- How far the slowest flow has read each partition.
SELECT partition, min(next_offset) AS next_offset
FROM flow_offsets
WHERE topic = %(topic)s
GROUP BY partition;
