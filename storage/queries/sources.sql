-- name: source_progress
-- How far one origin has been read, and what was refused of it.
SELECT source, name, log_format, next_position, events, rejected, last_reason, updated_at
FROM sources
WHERE source = %(source)s;

-- name: source_screened
-- How far both flows have read one origin: the second one the claims that the first made of it.
SELECT s.next_position AS read_to, coalesce(r.next_position, 0) AS screened_to
FROM sources AS s
LEFT JOIN screened_sources AS r ON r.tenant_id = s.tenant_id AND r.source = s.source
WHERE s.source = %(source)s;
