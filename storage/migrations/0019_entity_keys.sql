-- An entity's own name as a column: under row-level security an index on entity_name() is not used,
-- as the function is not leakproof; a plain comparison of a stored column is.
ALTER TABLE findings
    ADD COLUMN entity_key text GENERATED ALWAYS AS (entity_name(entity_type, entity)) STORED;
ALTER TABLE window_counts
    ADD COLUMN entity_key text GENERATED ALWAYS AS (entity_name(entity_type, entity)) STORED;
DROP INDEX findings_name;
DROP INDEX window_counts_name;
CREATE INDEX findings_key ON findings (tenant_id, entity_type, entity_key, "time" DESC);
CREATE INDEX window_counts_key ON window_counts (tenant_id, entity_type, entity_key, window_start);
