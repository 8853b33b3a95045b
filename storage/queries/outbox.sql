-- name: outbox_add
INSERT INTO outbox (tenant_id, topic, key, headers, value)
VALUES (current_setting('inopsio.tenant'), %(topic)s, %(key)s, %(headers)s::jsonb, %(value)b);

-- name: outbox_turn
-- One relay at a time: two would tell the same rows, and out of order. Held to the transaction's end.
SELECT pg_try_advisory_xact_lock(hashtextextended('inopsio.outbox', 0)) AS is_mine;

-- name: outbox_oldest
-- As many as `limit` and about `max_bytes` allow, one at least; a value's length needs no reading.
SELECT outbox_id, tenant_id, topic, key, headers, value, created_at
FROM (
    SELECT *, sum(octet_length(value)) OVER (ORDER BY outbox_id) - octet_length(value) AS before
    FROM (SELECT * FROM outbox ORDER BY outbox_id LIMIT %(limit)s) AS oldest
) AS measured
WHERE before < %(max_bytes)s
ORDER BY outbox_id;

-- name: outbox_forget
DELETE FROM outbox WHERE outbox_id = ANY(%(ids)s::bigint[]);
