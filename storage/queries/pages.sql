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

-- name: pages_rules_capped
-- Claims of the last 30 days that rules made beyond their bound: counted, not kept.
SELECT rule_id, sum(capped)::bigint AS capped
FROM rule_windows
WHERE capped > 0
GROUP BY rule_id
LIMIT 2000;

-- name: pages_rule_claims
SELECT finding_id::text, "time", title, level, kind, entity_type, entity, event_count
FROM findings
WHERE rule_id = ANY(%(rule_ids)s)
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
SELECT greatest((SELECT max(start) FROM entity_minutes), (SELECT max(last_minute) FROM entity_days),
    (SELECT max(minute) FROM entity_deltas), (SELECT max(minute) FROM entity_packs)) AS newest;

-- name: pages_hosts
-- Hosts that events of a span tell of, the busiest first.
SELECT entity AS host, sum(events)::bigint AS events, max(last_minute) AS last_time
FROM window_counts
WHERE window_s = 3600 AND window_start >= %(since)s AND entity_type = 'host'
GROUP BY entity
ORDER BY events DESC, entity
LIMIT %(limit)s;

-- name: pages_vendors
-- Every vendor with what is open, on hold and paid, and the gravest claim about it, in one look.
SELECT v.vendor_id, v.name, v.bank_account, v.previous_bank_account, v.bank_changed_by,
    v.bank_changed_at, v.confirmation, v.confirmed_by, v.created_by, v.created_at,
    coalesce(i.open_cents, 0)::bigint AS open_cents, coalesce(i.invoices, 0)::bigint AS invoices,
    coalesce(p.held_cents, 0)::bigint AS held_cents, coalesce(p.held, 0)::bigint AS held,
    coalesce(p.waiting_cents, 0)::bigint AS waiting_cents, p.last_paid_at,
    coalesce(p.currency, i.currency, 'EUR') AS currency,
    coalesce(f.findings, 0)::bigint AS findings
FROM erp_vendors AS v
LEFT JOIN (
    SELECT tenant_id, vendor_id, count(*) AS invoices, max(currency) AS currency,
        sum(amount_cents) FILTER (WHERE status = 'issued') AS open_cents
    FROM erp_invoices
    GROUP BY tenant_id, vendor_id
) AS i ON i.tenant_id = v.tenant_id AND i.vendor_id = v.vendor_id
LEFT JOIN (
    SELECT tenant_id, vendor_id, max(currency) AS currency, max(paid_at) AS last_paid_at,
        count(*) FILTER (WHERE status = 'held') AS held,
        sum(amount_cents) FILTER (WHERE status = 'held') AS held_cents,
        sum(amount_cents) FILTER (WHERE status IN ('proposed', 'approved')) AS waiting_cents
    FROM erp_payments
    GROUP BY tenant_id, vendor_id
) AS p ON p.tenant_id = v.tenant_id AND p.vendor_id = v.vendor_id
LEFT JOIN (
    SELECT tenant_id, entity, count(*) AS findings
    FROM findings
    WHERE entity_type = 'vendor' AND kind = 'finding'
    GROUP BY tenant_id, entity
) AS f ON f.tenant_id = v.tenant_id AND f.entity = v.vendor_id
WHERE (%(text)s::text IS NULL OR concat_ws(' ', v.name, v.vendor_id, v.bank_account) ILIKE %(text)s)
    AND (%(only)s::text = 'all'
        OR (%(only)s = 'held' AND p.held > 0)
        OR (%(only)s = 'unconfirmed' AND v.bank_changed_at IS NOT NULL
            AND v.confirmation = 'none')
        OR (%(only)s = 'findings' AND f.findings > 0))
ORDER BY coalesce(p.held, 0) DESC, v.bank_changed_at DESC NULLS LAST, v.name, v.vendor_id
LIMIT %(limit)s;

-- name: pages_vendor_totals
SELECT count(*)::bigint AS vendors,
    count(*) FILTER (WHERE bank_changed_at >= %(since)s)::bigint AS changed,
    count(*) FILTER (WHERE bank_changed_at >= %(since)s AND confirmation = 'none')::bigint
        AS unconfirmed
FROM erp_vendors;

-- name: pages_vendor_findings
-- Claims about the vendor itself, or that link to it.
SELECT finding_id::text, "time", title, level, kind, entity_type, entity
FROM findings
WHERE (entity_type = 'vendor' AND entity = %(vendor_id)s)
    OR (links @> jsonb_build_array(jsonb_build_array('vendor', %(vendor_id)s::text))
        AND "time" >= %(since)s)
ORDER BY "time" DESC
LIMIT %(limit)s;

-- name: pages_vendor_history
-- What people did to the vendor's master data, from the trail that nobody can change.
SELECT at, actor, action, result, detail
FROM audit_entries
WHERE object = %(vendor_id)s AND action IN ('vendor.create', 'vendor.bank_change', 'vendor.update')
ORDER BY entry_id DESC
LIMIT %(limit)s;

-- name: pages_payment_totals
SELECT status, currency, count(*)::bigint AS payments, sum(amount_cents)::bigint AS cents
FROM erp_payments
GROUP BY status, currency
ORDER BY payments DESC
LIMIT 100;

-- name: pages_payments
-- One block of payments; those on hold first, then the newest.
SELECT p.payment_id, p.vendor_id, v.name AS vendor_name, p.invoice_id, p.amount_cents, p.currency,
    p.status, p.created_by, p.created_at, p.approved_by, p.approved_at, p.paid_at, p.version,
    h.title AS hold_title, h.level AS hold_level, h.placed_at AS held_at
FROM erp_payments AS p
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
LEFT JOIN LATERAL (
    SELECT title, level, placed_at
    FROM erp_holds AS o
    WHERE p.status = 'held' AND o.tenant_id = p.tenant_id AND o.payment_id = p.payment_id
        AND o.released_at IS NULL
    ORDER BY o.placed_at DESC
    LIMIT 1
) AS h ON true
WHERE (%(status)s::text IS NULL OR p.status = %(status)s)
    AND (%(vendor_id)s::text IS NULL OR p.vendor_id = %(vendor_id)s)
    AND (%(text)s::text IS NULL
        OR concat_ws(' ', p.payment_id, v.name, p.invoice_id, p.created_by) ILIKE %(text)s)
ORDER BY (p.status = 'held') DESC, p.created_at DESC, p.row_id DESC
OFFSET %(offset)s
LIMIT %(limit)s;

-- name: pages_payment_count
SELECT count(*)::bigint AS payments
FROM (
    SELECT 1
    FROM erp_payments AS p
    JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
    WHERE (%(status)s::text IS NULL OR p.status = %(status)s)
        AND (%(vendor_id)s::text IS NULL OR p.vendor_id = %(vendor_id)s)
        AND (%(text)s::text IS NULL
            OR concat_ws(' ', p.payment_id, v.name, p.invoice_id, p.created_by) ILIKE %(text)s)
    LIMIT %(most)s
) AS counted;

-- name: pages_incident_of_findings
-- The incident that holds most of some findings.
SELECT i.incident_id::text, i.title, i.level, i.status, count(*)::bigint AS findings
FROM incident_findings AS l
JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
WHERE l.finding_id = ANY(%(finding_ids)s::uuid[])
GROUP BY i.incident_id, i.title, i.level, i.status
ORDER BY findings DESC, i.incident_id
LIMIT 1;
