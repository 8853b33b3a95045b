-- Verdicts of configuration checks.

-- name: agent_checks_add
INSERT INTO agent_checks (tenant_id, agent_id, check_uid, at, event_id, is_passed, severity_id,
    title, detail, why, fix)
SELECT i.tenant_id, i.agent_id, i.check_uid,
    timestamptz 'epoch' + i.at_us * interval '1 microsecond', i.event_id, i.is_passed,
    i.severity_id, i.title, i.detail, i.why, i.fix
FROM json_to_recordset(%(told)s::json) AS i(
    tenant_id text, agent_id uuid, check_uid text, at_us bigint, event_id uuid, is_passed boolean,
    severity_id integer, title text, detail text, why text, fix text)
JOIN agents AS a ON a.tenant_id = i.tenant_id AND a.agent_id = i.agent_id
ON CONFLICT DO NOTHING;

-- name: agent_checks_trim
-- Of each agent the newest rows are kept.
DELETE FROM agent_checks WHERE ctid IN (
    SELECT old.ctid
    FROM (SELECT DISTINCT i.tenant_id, i.agent_id FROM json_to_recordset(%(told)s::json)
        AS i(tenant_id text, agent_id uuid)) AS told
    CROSS JOIN LATERAL (
        SELECT c.ctid FROM agent_checks AS c
        WHERE c.tenant_id = told.tenant_id AND c.agent_id = told.agent_id
        ORDER BY c.at DESC
        OFFSET %(most)s
    ) AS old
);

-- name: agent_checks_now
-- The latest verdict of each check of each host, what fails first; `since`: unchanged since then.
SELECT c.agent_id::text, a.host, c.check_uid, c.is_passed, c.severity_id, c.title, c.detail, c.why,
    c.fix, c.at AS told_at, (
        SELECT min(s.at) FROM agent_checks AS s
        WHERE s.agent_id = c.agent_id AND s.check_uid = c.check_uid AND s.at > coalesce((
            SELECT max(o.at) FROM agent_checks AS o
            WHERE o.agent_id = c.agent_id AND o.check_uid = c.check_uid
                AND o.is_passed <> c.is_passed), '-infinity')
    ) AS since
FROM (
    SELECT DISTINCT ON (agent_id, check_uid) *
    FROM agent_checks
    WHERE %(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s::uuid
    ORDER BY agent_id, check_uid, at DESC, event_id DESC
) AS c
JOIN agents AS a ON a.agent_id = c.agent_id
WHERE NOT %(only_failed)s::boolean OR NOT c.is_passed
ORDER BY c.is_passed, c.severity_id DESC, a.host, c.check_uid
LIMIT %(limit)s;

-- name: agent_checks_history
SELECT check_uid, is_passed, severity_id, title, detail, at
FROM agent_checks
WHERE agent_id = %(agent_id)s::uuid
    AND (%(check_uid)s::text = '' OR check_uid = %(check_uid)s)
ORDER BY at DESC, check_uid
LIMIT %(limit)s;

-- name: agent_checks_counts
SELECT count(*) FILTER (WHERE NOT is_passed) AS failed, count(*) AS checks,
    count(DISTINCT agent_id) AS hosts
FROM (
    SELECT DISTINCT ON (agent_id, check_uid) agent_id, is_passed
    FROM agent_checks ORDER BY agent_id, check_uid, at DESC, event_id DESC
) AS c;
