-- name: fact_position_take
-- The row stays locked to the transaction's end: positions reach the log in order, without a gap.
INSERT INTO fact_positions AS p (tenant_id, module, next_position)
VALUES (current_setting('inopsio.tenant'), %(module)s, 1)
ON CONFLICT (tenant_id, module) DO UPDATE SET next_position = p.next_position + 1
RETURNING next_position - 1 AS position;

-- name: fact_turn
SELECT pg_advisory_xact_lock(hashtextextended(
    concat_ws(chr(31), current_setting('inopsio.tenant'), 'facts', %(module)s::text), 0));
