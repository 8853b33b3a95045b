-- The days of the hot table: partitions of plain PostgreSQL, chunks of TimescaleDB, named alike.

-- name: event_days_ensure
SELECT day::text, ensure_event_day(day) AS made FROM unnest(%(days)s::date[]) AS d(day)

-- name: event_partitions
SELECT c.relname::text AS name, pg_total_relation_size(c.oid) AS size_bytes
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'inopsio.events'::regclass

-- name: event_rest_delete
DELETE FROM inopsio_chunks.events_other WHERE "time" < %(before)s::date

-- name: event_before_delete
DELETE FROM inopsio_chunks.events_before WHERE "time" < %(before)s::date
