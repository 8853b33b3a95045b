-- A tenant's own rules; run by storage/rules.py in the tenant's scope, by the flows as the writer.

-- name: tenant_rules_list
SELECT rule_id, title, text, created_by, created_at, changed_at, enabled FROM tenant_rules
ORDER BY rule_id

-- name: tenant_rule
SELECT rule_id, title, text, created_by, created_at, changed_at, enabled FROM tenant_rules
WHERE rule_id = %(rule_id)s

-- name: tenant_rule_count
SELECT count(*) AS rules FROM tenant_rules

-- name: tenant_rule_put
INSERT INTO tenant_rules AS r (tenant_id, rule_id, title, text, created_by)
VALUES (
    nullif(current_setting('inopsio.tenant', true), ''), %(rule_id)s, %(title)s, %(text)s,
    %(created_by)s
)
ON CONFLICT (tenant_id, rule_id) DO UPDATE
SET title = excluded.title, text = excluded.text, changed_at = clock_timestamp(), enabled = true

-- name: tenant_rule_enable
UPDATE tenant_rules SET enabled = %(enabled)s, changed_at = clock_timestamp()
WHERE rule_id = %(rule_id)s

-- name: tenant_rule_delete
DELETE FROM tenant_rules WHERE rule_id = %(rule_id)s

-- name: tenant_rules_marks
SELECT tenant_id, md5(string_agg(rule_id || changed_at::text, ',' ORDER BY rule_id)) AS mark
FROM tenant_rules WHERE enabled GROUP BY tenant_id

-- name: tenant_rules_texts
SELECT rule_id, text FROM tenant_rules
WHERE tenant_id = %(of_tenant)s AND enabled ORDER BY rule_id

-- name: rule_version_add
-- A text that is the newest already makes no version; of very many the oldest go.
INSERT INTO rule_versions (tenant_id, rule_id, version, title, text, comment, created_by)
SELECT nullif(current_setting('inopsio.tenant', true), ''), %(rule_id)s,
    coalesce(max(v.version), 0) + 1, %(title)s, %(text)s, %(comment)s, %(created_by)s
FROM rule_versions AS v
WHERE v.rule_id = %(rule_id)s
HAVING (SELECT n.text FROM rule_versions AS n WHERE n.rule_id = %(rule_id)s
        ORDER BY n.version DESC LIMIT 1) IS DISTINCT FROM %(text)s
RETURNING version

-- name: rule_versions_trim
DELETE FROM rule_versions
WHERE rule_id = %(rule_id)s AND version <= (
    SELECT max(version) FROM rule_versions WHERE rule_id = %(rule_id)s) - %(most)s

-- name: rule_versions
SELECT version, title, text, comment, created_by, created_at FROM rule_versions
WHERE rule_id = %(rule_id)s
ORDER BY version DESC
LIMIT 200

-- name: rule_version
SELECT version, title, text FROM rule_versions
WHERE rule_id = %(rule_id)s AND version = %(version)s

-- name: exception_effect
-- Claims of a rule by level, and of them those that name all of these entities.
WITH asked AS (
    SELECT kind, name FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS a (kind, name)
), told AS (
    SELECT f.finding_id, f.level, NOT EXISTS (
        SELECT FROM asked AS a
        WHERE NOT (f.entity_type = a.kind AND f.entity = a.name)
            AND NOT f.links @> jsonb_build_array(jsonb_build_array(a.kind, a.name))
    ) AS is_removed
    FROM findings AS f
    WHERE f.rule_id = %(rule_id)s AND f."time" >= %(since)s AND f."time" < %(until)s
)
SELECT t.level, count(*)::bigint AS claims,
    count(*) FILTER (WHERE t.is_removed)::bigint AS removed,
    count(*) FILTER (WHERE t.is_removed AND EXISTS (
        SELECT FROM incident_findings AS l
        JOIN incidents AS i ON i.tenant_id = l.tenant_id AND i.incident_id = l.incident_id
        WHERE l.finding_id = t.finding_id AND i.verdict = 'true_positive'))::bigint AS right_ones
FROM told AS t
GROUP BY t.level
ORDER BY t.level
