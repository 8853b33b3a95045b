-- One entity under one name, whatever a source calls it: the same rule as `canonical` in
-- storage/schema/entity.py, so that counts and claims of every spelling are found by an index.
CREATE FUNCTION entity_name(kind text, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN kind IN ('user', 'mailbox', 'person')
        THEN lower(split_part(split_part(btrim(name), '\', -1), '@', 1))
    WHEN kind = 'host' AND btrim(name) !~ '^[0-9.]*$' AND strpos(name, ':') = 0
        THEN lower(split_part(btrim(name), '.', 1))
    WHEN kind IN ('host', 'ip', 'domain', 'hash', 'file', 'process') THEN lower(btrim(name))
    ELSE btrim(name)
END;

CREATE INDEX window_counts_name ON window_counts
    (tenant_id, entity_type, entity_name(entity_type, entity), window_start);
CREATE INDEX findings_name ON findings
    (tenant_id, entity_type, entity_name(entity_type, entity), "time" DESC);
