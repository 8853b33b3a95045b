-- name: source_progress
-- How far one origin has been read, and what was refused of it.
SELECT source, name, log_format, next_position, events, rejected, last_reason, updated_at
FROM sources
WHERE source = %(source)s;
