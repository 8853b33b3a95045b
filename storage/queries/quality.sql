-- How good the detectors are: volume, verdicts, entities watched; every one held to its tenant.

-- name: quality_days
-- Claims of each detector by day before `at`: 0 = the last 24 hours.
SELECT detector, floor(extract(epoch FROM (%(at)s::timestamptz - "time")) / 86400)::int AS back,
    count(*) FILTER (WHERE kind = 'finding')::bigint AS findings,
    count(*) FILTER (WHERE kind = 'signal')::bigint AS signals
FROM findings
WHERE "time" > %(at)s::timestamptz - make_interval(days => %(days)s) AND "time" <= %(at)s
GROUP BY detector, back
LIMIT 20000;

-- name: quality_verdicts
-- Judged incidents that hold a finding of each detector from these days; each incident counts once.
SELECT f.detector,
    count(DISTINCT i.incident_id) FILTER (WHERE i.verdict = 'true_positive')::bigint AS right_ones,
    count(DISTINCT i.incident_id) FILTER (WHERE i.verdict = 'false_positive')::bigint AS wrong_ones,
    count(DISTINCT i.incident_id) FILTER (WHERE i.verdict = 'benign')::bigint AS benign_ones
FROM incidents AS i
JOIN incident_findings AS l ON l.tenant_id = i.tenant_id AND l.incident_id = i.incident_id
JOIN findings AS f ON f.tenant_id = l.tenant_id AND f.finding_id = l.finding_id
WHERE i.verdict IS NOT NULL AND f.kind = 'finding'
    AND f."time" > %(at)s::timestamptz - make_interval(days => %(days)s) AND f."time" <= %(at)s
GROUP BY f.detector
LIMIT 2000;

-- name: quality_entities
-- Hosts and people of whom events told in the last day that any are known of; the first day of all.
-- Bounds by scalar subqueries: a join would not reach the index through the policy.
WITH newest AS MATERIALIZED (
    SELECT min(first_minute) AS first_time, max(last_minute) AS at FROM window_counts
    WHERE window_s = 86400 AND window_start <= %(at)s
)
SELECT count(DISTINCT (c.entity_type, c.entity_key))::bigint AS entities,
    (SELECT first_time FROM newest) AS first_time
FROM window_counts AS c
WHERE c.window_s = 3600 AND c.window_start <= (SELECT at FROM newest)
    AND c.window_start > (SELECT at FROM newest) - interval '1 day'
    AND c.entity_type IN ('host', 'user');
