-- What one step of a flow leaves behind; run by storage/database/commit.py as the writer.

-- name: flow_offsets_begin
-- Those that were never committed; gives what moved.
INSERT INTO flow_offsets (flow, topic, partition, next_offset, watermark_us)
SELECT %(flow)s, * FROM unnest(
    %(topics)s::text[], %(partitions)s::integer[], %(next_offsets)s::bigint[], %(watermarks)s::bigint[]
) AS s(topic, partition, next_offset, watermark_us)
ORDER BY topic, partition
ON CONFLICT (flow, topic, partition) DO UPDATE
SET next_offset = excluded.next_offset, watermark_us = excluded.watermark_us
WHERE flow_offsets.next_offset = 0
RETURNING topic, partition

-- name: flow_offsets_move
-- Those that still stand where they are expected; gives what moved. Rows are locked in one order,
-- so that of two workers with the same partitions the slower one waits and is told, with no deadlock.
WITH asked AS (
    SELECT * FROM unnest(
        %(topics)s::text[], %(partitions)s::integer[], %(expected)s::bigint[],
        %(next_offsets)s::bigint[], %(watermarks)s::bigint[]
    ) AS s(topic, partition, expected, next_offset, watermark_us)
), held AS MATERIALIZED (
    SELECT f.topic, f.partition, a.next_offset, a.watermark_us
    FROM flow_offsets AS f JOIN asked AS a USING (topic, partition)
    WHERE f.flow = %(flow)s AND f.next_offset = a.expected
    ORDER BY f.topic, f.partition
    FOR UPDATE OF f
)
UPDATE flow_offsets AS f SET next_offset = h.next_offset, watermark_us = h.watermark_us
FROM held AS h
WHERE f.flow = %(flow)s AND f.topic = h.topic AND f.partition = h.partition
RETURNING f.topic, f.partition

-- name: flow_position
SELECT topic, partition, next_offset, watermark_us FROM flow_offsets WHERE flow = %(flow)s

-- name: flow_state
SELECT detector, shard, state FROM flow_state WHERE flow = %(flow)s AND lane = %(lane)s

-- name: flow_lane_claim
INSERT INTO flow_lanes AS l (flow, lane, epoch, owner)
VALUES (%(flow)s, %(lane)s, 1, %(owner)s)
ON CONFLICT (flow, lane) DO UPDATE
SET epoch = l.epoch + 1, owner = excluded.owner, claimed_at = now()
RETURNING epoch

-- name: flow_lane_begin
-- A new lane begins with what was learnt over all partitions.
INSERT INTO flow_state (flow, lane, detector, shard, state)
SELECT flow, %(lane)s, detector, shard, state FROM flow_state
WHERE flow = %(flow)s AND lane = -1
ON CONFLICT DO NOTHING

-- name: flow_lane_hold
-- Until the commit's end nobody else can claim the lane.
SELECT 1 AS held FROM flow_lanes
WHERE flow = %(flow)s AND lane = %(lane)s AND epoch = %(epoch)s
FOR SHARE

-- name: flow_lanes_of
SELECT lane, epoch, owner FROM flow_lanes WHERE flow = %(flow)s ORDER BY lane

-- name: flow_lanes_end
WITH ended AS (DELETE FROM flow_lanes WHERE flow = %(flow)s RETURNING lane)
DELETE FROM flow_state WHERE flow = %(flow)s AND EXISTS (SELECT FROM ended)

-- name: flow_state_put
INSERT INTO flow_state (flow, lane, detector, shard, state)
SELECT %(flow)s, %(lane)s, * FROM unnest(%(detector)s::text[], %(shard)s::integer[], %(state)b::bytea[])
ON CONFLICT (flow, lane, detector, shard) DO UPDATE SET state = excluded.state

-- name: sources_move
INSERT INTO sources AS s
    (tenant_id, source, name, log_format, next_position, events, rejected, last_reason)
SELECT tenant_id, source, name, log_format, next_position, events, rejected, last_reason
FROM json_to_recordset(%(rows)s::json) AS r(
    tenant_id text, source text, name text, log_format text, next_position bigint,
    events bigint, rejected bigint, last_reason text
)
ON CONFLICT (tenant_id, source) DO UPDATE SET
    name = excluded.name,
    log_format = excluded.log_format,
    -- A repeat of something older says less than is known.
    next_position = greatest(s.next_position, excluded.next_position),
    events = s.events + excluded.events,
    rejected = s.rejected + excluded.rejected,
    last_reason = coalesce(excluded.last_reason, s.last_reason),
    updated_at = now()

-- name: screened_move
INSERT INTO screened_sources AS s (tenant_id, source, next_position)
SELECT tenant_id, source, next_position
FROM json_to_recordset(%(rows)s::json) AS r(tenant_id text, source text, next_position bigint)
ON CONFLICT (tenant_id, source) DO UPDATE
SET next_position = greatest(s.next_position, excluded.next_position), updated_at = now()

-- name: source_positions
SELECT tenant_id, source, next_position FROM sources

-- name: source_positions_of
SELECT s.tenant_id, s.source, s.next_position FROM sources AS s
JOIN unnest(%(tenants)s::text[], %(sources)s::text[]) AS o(tenant_id, source)
USING (tenant_id, source)

-- name: events_copy
COPY events (
    tenant_id, event_id, "time", class_uid, activity_id, severity_id, log_format, product,
    event_code, source, "position", hostname, actor_user, user_name, process_path, cmd_line,
    parent_path, file_path, src_ip, src_port, dst_ip, dst_port, query_hostname, document_uid,
    vendor_uid, amount_cents, message
) FROM STDIN (FORMAT binary)

-- name: events_stage
CREATE TEMP TABLE events_in (
    tenant_id text, event_id uuid, "time" timestamptz, class_uid integer, activity_id integer,
    severity_id integer, log_format text, product text, event_code text, source text,
    "position" bigint, hostname text, actor_user text, user_name text, process_path text,
    cmd_line text, parent_path text, file_path text, src_ip text, src_port integer, dst_ip text,
    dst_port integer, query_hostname text, document_uid text, vendor_uid text,
    amount_cents bigint, message text
) ON COMMIT DROP

-- name: events_stage_copy
COPY pg_temp.events_in FROM STDIN (FORMAT binary)

-- name: events_unstage
INSERT INTO events (
    tenant_id, event_id, "time", class_uid, activity_id, severity_id, log_format, product,
    event_code, source, "position", hostname, actor_user, user_name, process_path, cmd_line,
    parent_path, file_path, src_ip, src_port, dst_ip, dst_port, query_hostname, document_uid,
    vendor_uid, amount_cents, message
)
SELECT * FROM pg_temp.events_in
ON CONFLICT DO NOTHING

-- name: events_stage_drop
DROP TABLE pg_temp.events_in

-- name: findings_insert
INSERT INTO findings (
    tenant_id, finding_id, "time", detector, detector_version, rule_id, title, level,
    entity_type, entity, event_ids, event_count, reasons, attack, links, kind, parts
)
SELECT
    tenant_id, finding_id, timestamptz 'epoch' + time_us * interval '1 microsecond', detector,
    detector_version, rule_id, title, level, entity_type, entity, event_ids,
    event_count, reasons, attack, links, kind, parts
FROM json_to_recordset(%(rows)s::json) AS r(
    tenant_id text, finding_id uuid, time_us bigint, detector text, detector_version text,
    rule_id text, title text, level text, entity_type text, entity text, event_ids uuid[],
    event_count bigint, reasons jsonb, attack text[], links jsonb, kind text, parts uuid[]
)
ON CONFLICT DO NOTHING
RETURNING tenant_id, finding_id

-- name: findings_known
-- Those of these that are in the ledger.
SELECT f.tenant_id, f.finding_id
FROM unnest(%(tenants)s::text[], %(ids)s::uuid[]) AS a(tenant_id, finding_id)
JOIN findings AS f USING (tenant_id, finding_id)

-- name: rule_windows_of
SELECT w.tenant_id, w.rule_id, w.version, r.start_s, w.claims
FROM json_to_recordset(%(rows)s::json)
    AS r(tenant_id text, rule_id text, version text, start_s bigint)
JOIN rule_windows AS w ON w.tenant_id = r.tenant_id AND w.rule_id = r.rule_id
    AND w.version = r.version AND w.window_start = to_timestamp(r.start_s)

-- name: rule_windows_add
INSERT INTO rule_windows AS w (tenant_id, rule_id, version, window_start, claims, capped)
SELECT tenant_id, rule_id, version, to_timestamp(start_s), claims, capped
FROM json_to_recordset(%(rows)s::json) AS r(
    tenant_id text, rule_id text, version text, start_s bigint, claims bigint, capped bigint)
ON CONFLICT (tenant_id, rule_id, version, window_start) DO UPDATE
SET claims = w.claims + excluded.claims, capped = w.capped + excluded.capped

-- name: rule_windows_trim
DELETE FROM rule_windows
WHERE tenant_id = ANY(%(tenants)s::text[]) AND made_at < now() - interval '2 days'
    AND (capped = 0 OR made_at < now() - interval '30 days')

-- name: outbox_put
INSERT INTO outbox (tenant_id, topic, key, headers, value)
SELECT tenant_id, %(topic)s, key, headers, value
FROM unnest(%(tenants)s::text[], %(keys)s::text[], %(headers)s::jsonb[], %(values)b::bytea[])
    AS r(tenant_id, key, headers, value)

-- name: lake_files_insert
INSERT INTO lake_files (
    tenant_id, path, class_uid, day, events, size_bytes, digest, first_time, last_time, topic,
    partition, first_offset, last_offset
)
SELECT
    tenant_id, path, class_uid, day, events, size_bytes, digest,
    timestamptz 'epoch' + first_time_us * interval '1 microsecond',
    timestamptz 'epoch' + last_time_us * interval '1 microsecond',
    topic, partition, first_offset, last_offset
FROM json_to_recordset(%(rows)s::json) AS r(
    tenant_id text, path text, class_uid integer, day date, events bigint, size_bytes bigint,
    digest text, first_time_us bigint, last_time_us bigint, topic text, partition integer,
    first_offset bigint, last_offset bigint
)
ON CONFLICT DO NOTHING
