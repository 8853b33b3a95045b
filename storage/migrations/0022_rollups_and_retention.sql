-- What happened to which entity, by the minute, hour and day: ordinary tables, so that row-level
-- security holds on every server. A commit appends its counts to entity_deltas, which has no index;
-- every so often they are folded into the three, in one transaction. Each count is in one place.

CREATE TABLE entity_deltas (
    tenant_id text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    class_uid integer NOT NULL,
    minute timestamptz NOT NULL,
    events bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

CREATE TABLE entity_minutes (
    tenant_id text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    class_uid integer NOT NULL,
    start timestamptz NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, start, entity_type, entity, class_uid)
) WITH (fillfactor = 85);

CREATE TABLE entity_hours (
    tenant_id text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    class_uid integer NOT NULL,
    start timestamptz NOT NULL,
    events bigint NOT NULL,
    first_minute timestamptz NOT NULL,
    last_minute timestamptz NOT NULL,
    entity_key text GENERATED ALWAYS AS (entity_name(entity_type, entity)) STORED,
    PRIMARY KEY (tenant_id, start, entity_type, entity, class_uid)
) WITH (fillfactor = 85);

CREATE TABLE entity_days (LIKE entity_hours INCLUDING ALL) WITH (fillfactor = 85);

CREATE INDEX entity_hours_key ON entity_hours (tenant_id, entity_type, entity_key, start);
CREATE INDEX entity_days_key ON entity_days (tenant_id, entity_type, entity_key, start);

-- The windows that stand, of whatever width, make hours and days.
ALTER TABLE window_counts NO FORCE ROW LEVEL SECURITY;
INSERT INTO entity_hours
    (tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute)
SELECT tenant_id, entity_type, entity, class_uid,
    date_bin('1 hour', window_start, timestamptz 'epoch'), sum(events),
    min(window_start), max(window_start)
FROM window_counts GROUP BY 1, 2, 3, 4, 5;
INSERT INTO entity_days
    (tenant_id, entity_type, entity, class_uid, start, events, first_minute, last_minute)
SELECT tenant_id, entity_type, entity, class_uid,
    date_bin('1 day', window_start, timestamptz 'epoch'), sum(events),
    min(window_start), max(window_start)
FROM window_counts GROUP BY 1, 2, 3, 4, 5;
DROP TABLE window_counts;

-- How long a tenant keeps what of which class; where it says nothing, the settings do.
CREATE TABLE retention (
    tenant_id text NOT NULL REFERENCES tenants,
    kind text NOT NULL CHECK (kind IN ('events', 'minutes', 'hours', 'days', 'lake')),
    class_uid integer NOT NULL DEFAULT 0,
    keep_days integer NOT NULL CHECK (keep_days BETWEEN 0 AND 36500),
    set_by text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, class_uid)
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY[
        'entity_deltas', 'entity_minutes', 'entity_hours', 'entity_days', 'retention'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;

GRANT SELECT ON entity_deltas, entity_minutes, entity_hours, entity_days, retention TO inopsio_app;
GRANT INSERT, UPDATE, DELETE ON retention TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON entity_deltas TO inopsio_writer;
GRANT SELECT, INSERT, UPDATE ON entity_minutes, entity_hours, entity_days TO inopsio_writer;

-- The keeper forgets, as the owner, who is held to policies too (FORCE).
CREATE POLICY forgetting ON entity_minutes TO inopsio_owner USING (true);
CREATE POLICY forgetting ON entity_hours TO inopsio_owner USING (true);
CREATE POLICY forgetting ON entity_days TO inopsio_owner USING (true);
CREATE POLICY forgetting ON events TO inopsio_owner USING (true);
CREATE POLICY keeping ON retention FOR SELECT TO inopsio_owner USING (true);

-- All of it as windows of 60, 3,600 and 86,400 s, also what is not folded yet (so add the events up).
CREATE VIEW window_counts WITH (security_invoker = true) AS
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
FROM entity_deltas AS d CROSS JOIN (VALUES (60), (3600), (86400)) AS s (width);
GRANT SELECT ON window_counts TO inopsio_app;
