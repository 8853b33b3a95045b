-- What the console's frame, Home and Live ask: search over everything, rates, freshness.

-- name: search_entities
-- Entities of the newest 20,000 claims whose name holds the text; most claimed first.
SELECT entity_type, entity, count(*)::bigint AS findings
FROM (SELECT entity_type, entity FROM findings ORDER BY "time" DESC LIMIT 20000) AS newest
WHERE entity ILIKE %(text)s
GROUP BY entity_type, entity
ORDER BY findings DESC, entity
LIMIT %(limit)s;

-- name: search_incidents
SELECT incident_id::text, title, level, status
FROM (SELECT * FROM incidents ORDER BY last_time DESC LIMIT 20000) AS newest
WHERE concat_ws(' ', title, entity) ILIKE %(text)s
ORDER BY (status = 'closed'), last_time DESC
LIMIT %(limit)s;

-- name: search_findings
SELECT finding_id::text, title, entity
FROM (
    SELECT finding_id, title, entity, "time" FROM findings
    WHERE kind = 'finding' ORDER BY "time" DESC LIMIT 20000
) AS newest
WHERE title ILIKE %(text)s
ORDER BY "time" DESC
LIMIT %(limit)s;
