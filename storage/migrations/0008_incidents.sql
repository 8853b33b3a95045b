-- Incidents gather claims by the entities they share. A claim that spreads (a high or critical
-- finding, a correlation and its parts) draws others in; every other claim only joins.
ALTER TABLE incidents ADD COLUMN merged_into uuid;
ALTER TABLE incidents ADD COLUMN merged_at timestamptz;
ALTER TABLE incidents ADD COLUMN signal_count bigint NOT NULL DEFAULT 0;
-- A person named it: findings that join do not change the title.
ALTER TABLE incidents ADD COLUMN is_named boolean NOT NULL DEFAULT false;
ALTER TABLE incidents ADD FOREIGN KEY (tenant_id, merged_into) REFERENCES incidents;
CREATE INDEX incidents_merged ON incidents (tenant_id, merged_into) WHERE merged_into IS NOT NULL;

-- How a claim came in: by which spreading claim, how far from it in time; null and 0 for one that
-- spreads itself or that a person put there.
ALTER TABLE incident_findings ADD COLUMN via uuid;
ALTER TABLE incident_findings ADD COLUMN gap_us bigint NOT NULL DEFAULT 0;
GRANT UPDATE, DELETE ON incident_findings TO inopsio_app;
GRANT UPDATE (incident_id) ON incident_notes TO inopsio_app;

-- Every claim that the incidents have heard of, in an incident or not.
CREATE TABLE incident_claims (
    tenant_id text NOT NULL REFERENCES tenants,
    finding_id uuid NOT NULL,
    "time" timestamptz NOT NULL,
    is_grave boolean NOT NULL DEFAULT false,
    is_core boolean NOT NULL DEFAULT false,
    is_left_out boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, finding_id)
);

-- The entities a claim can be joined by, under their canonical names.
CREATE TABLE incident_entities (
    tenant_id text NOT NULL REFERENCES tenants,
    finding_id uuid NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    "time" timestamptz NOT NULL,
    is_core boolean NOT NULL DEFAULT false,
    is_accused boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, finding_id, entity_type, entity)
);
CREATE INDEX incident_entities_time ON incident_entities (tenant_id, entity_type, entity, "time");
CREATE INDEX incident_entities_core ON incident_entities (tenant_id, entity_type, entity, "time")
    WHERE is_core;

-- What a correlation rests on, also while a part has not come yet.
CREATE TABLE incident_parts (
    tenant_id text NOT NULL REFERENCES tenants,
    part_id uuid NOT NULL,
    finding_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, part_id, finding_id)
);
CREATE INDEX incident_parts_finding ON incident_parts (tenant_id, finding_id);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['incident_claims', 'incident_entities', 'incident_parts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON incident_claims, incident_entities, incident_parts TO inopsio_app;
GRANT UPDATE (is_core, is_left_out) ON incident_claims TO inopsio_app;
GRANT UPDATE (is_core) ON incident_entities TO inopsio_app;
