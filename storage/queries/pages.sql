-- What the pages of rules, pipelines, agents and the audit trail ask; every one held to its tenant.

-- name: pages_rule_hits
-- Claims of each rule in steps of `step_s` seconds since `since`; findings and signals alike.
SELECT rule_id, floor(extract(epoch FROM ("time" - %(since)s::timestamptz)) / %(step_s)s)::bigint
    AS bucket, count(*)::bigint AS claims
FROM findings
WHERE "time" >= %(since)s AND "time" <= %(until)s
GROUP BY rule_id, bucket
LIMIT 50000;

-- name: pages_rule_last
SELECT rule_id, max(detector) AS detector, max(title) AS title, max(level) AS level,
    max("time") AS last_time, count(*)::bigint AS claims
FROM findings
GROUP BY rule_id
ORDER BY claims DESC, rule_id
LIMIT 2000;

-- name: pages_rule_verdicts
-- Incidents with a verdict that a claim of the rule is in.
SELECT f.rule_id,
    count(DISTINCT i.incident_id) FILTER (WHERE i.verdict = 'true_positive')::bigint AS right_ones,
    count(DISTINCT i.incident_id) FILTER (WHERE i.verdict = 'false_positive')::bigint AS wrong_ones
FROM incidents AS i
JOIN incident_findings AS l ON l.tenant_id = i.tenant_id AND l.incident_id = i.incident_id
JOIN findings AS f ON f.tenant_id = l.tenant_id AND f.finding_id = l.finding_id
WHERE i.verdict IN ('true_positive', 'false_positive')
GROUP BY f.rule_id
LIMIT 2000;

-- name: pages_rule_claims
SELECT finding_id::text, "time", title, level, kind, entity_type, entity, event_count
FROM findings
WHERE rule_id = %(rule_id)s
ORDER BY "time" DESC, finding_id DESC
LIMIT %(limit)s;

-- name: pages_newest_claim
SELECT max("time") AS last_time FROM findings;

-- name: pages_flow_offsets
SELECT flow, topic, partition, next_offset
FROM flow_offsets
ORDER BY flow, topic, partition
LIMIT 1000;

-- name: pages_sources
-- Origins, the latest read first.
SELECT source, name, log_format, next_position, events, rejected, last_reason, updated_at
FROM sources
ORDER BY updated_at DESC, source
LIMIT %(limit)s;

-- name: pages_source_totals
SELECT count(*)::bigint AS sources, coalesce(sum(events), 0)::bigint AS events,
    coalesce(sum(rejected), 0)::bigint AS rejected, max(updated_at) AS updated_at
FROM sources;

-- name: pages_lake_size
SELECT count(*)::bigint AS files, coalesce(sum(size_bytes), 0)::bigint AS size_bytes,
    coalesce(sum(events), 0)::bigint AS events, min(first_time) AS first_time,
    max(last_time) AS last_time
FROM lake_files
WHERE replaced_by IS NULL;

-- name: pages_database_size
SELECT pg_database_size(current_database())::bigint AS size_bytes,
    current_setting('server_version') AS version,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())::bigint AS sessions;

-- name: pages_agents
-- Origins that an agent ships: 'agent:<id>:<stream>', named after the host.
SELECT source, name, log_format, next_position, events, rejected, last_reason, updated_at
FROM sources
WHERE source LIKE 'agent:%%'
ORDER BY updated_at DESC, source
LIMIT %(limit)s;

-- name: pages_agent_tokens
SELECT token_id::text, name, roles, uses_left, created_at, expires_at, revoked_at
FROM tokens
WHERE name LIKE 'host:%%'
ORDER BY created_at DESC, token_id
LIMIT 20;

-- name: pages_audit
-- One block of the trail, the newest first; texts come as LIKE patterns, escaped by the caller.
SELECT entry_id::text, at, actor, action, object, result, detail
FROM audit_entries
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(area)s::text IS NULL OR split_part(action, '.', 1) = %(area)s)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(result)s::text IS NULL OR result = %(result)s)
    AND (%(text)s::text IS NULL
        OR concat_ws(' ', actor, action, object, detail::text) ILIKE %(text)s)
ORDER BY entry_id DESC
OFFSET %(offset)s
LIMIT %(limit)s;

-- name: pages_audit_count
-- Counted to a bound: beyond it, narrowing is quicker than scrolling.
SELECT count(*)::bigint AS entries
FROM (
    SELECT 1
    FROM audit_entries
    WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s)
        AND (%(area)s::text IS NULL OR split_part(action, '.', 1) = %(area)s)
        AND (%(actor)s::text IS NULL OR actor = %(actor)s)
        AND (%(result)s::text IS NULL OR result = %(result)s)
        AND (%(text)s::text IS NULL
            OR concat_ws(' ', actor, action, object, detail::text) ILIKE %(text)s)
    LIMIT %(most)s
) AS counted;

-- name: pages_audit_entry
SELECT entry_id::text, at, actor, action, object, result, detail
FROM audit_entries
WHERE entry_id = %(entry_id)s::uuid;

-- name: pages_audit_choices
-- Who and what the newest entries tell of.
SELECT DISTINCT actor, split_part(action, '.', 1) AS area
FROM (SELECT actor, action FROM audit_entries ORDER BY entry_id DESC LIMIT 20000) AS newest
LIMIT 400;

-- name: pages_newest_window
SELECT max(window_start) AS newest
FROM window_counts
WHERE window_s = %(window_s)s;

-- name: pages_hosts
-- Hosts that events of a span tell of, the busiest first.
SELECT entity AS host, sum(events)::bigint AS events, max(window_start) AS last_time
FROM window_counts
WHERE window_s = %(window_s)s AND window_start >= %(since)s AND entity_type = 'host'
GROUP BY entity
ORDER BY events DESC, entity
LIMIT %(limit)s;
