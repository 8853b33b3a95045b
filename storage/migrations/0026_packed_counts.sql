-- What a commit counted lies packed until the fold: a row has all entities of one type, class and
-- minute that it counted. entity_deltas stays for processes of an older version that run beside; the
-- fold takes from both.
CREATE TABLE entity_packs (
    tenant_id text NOT NULL,
    entity_type text NOT NULL,
    class_uid integer NOT NULL,
    minute timestamptz NOT NULL,
    entities text[] NOT NULL,
    events bigint[] NOT NULL,
    CHECK (cardinality(entities) = cardinality(events))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- They are there for seconds: no time is spent on compressing them.
ALTER TABLE entity_packs ALTER COLUMN entities SET STORAGE EXTERNAL,
    ALTER COLUMN events SET STORAGE EXTERNAL;

ALTER TABLE entity_packs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON entity_packs
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON entity_packs TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON entity_packs TO inopsio_writer;

CREATE OR REPLACE VIEW window_counts WITH (security_invoker = true) AS
SELECT tenant_id, entity_type, entity, class_uid, start AS window_start, 60 AS window_s, events,
    start AS first_minute, start AS last_minute, entity_name(entity_type, entity) AS entity_key
FROM entity_minutes
UNION ALL
SELECT tenant_id, entity_type, entity, class_uid, start, 3600, events, first_minute, last_minute,
    entity_key
FROM entity_hours
UNION ALL
SELECT tenant_id, entity_type, entity, class_uid, start, 86400, events, first_minute, last_minute,
    entity_key
FROM entity_days
UNION ALL
SELECT d.tenant_id, d.entity_type, d.entity, d.class_uid,
    date_bin(make_interval(secs => s.width), d.minute, timestamptz 'epoch'), s.width, d.events,
    d.minute, d.minute, entity_name(d.entity_type, d.entity)
FROM entity_deltas AS d CROSS JOIN (VALUES (60), (3600), (86400)) AS s (width)
UNION ALL
SELECT p.tenant_id, p.entity_type, e.entity, p.class_uid,
    date_bin(make_interval(secs => s.width), p.minute, timestamptz 'epoch'), s.width, e.events,
    p.minute, p.minute, entity_name(p.entity_type, e.entity)
FROM entity_packs AS p CROSS JOIN (VALUES (60), (3600), (86400)) AS s (width)
CROSS JOIN LATERAL unnest(p.entities, p.events) AS e (entity, events);
