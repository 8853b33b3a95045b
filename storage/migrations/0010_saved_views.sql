-- Views of a list that a person keeps: a name for the query of a page's address. Each sees their own.
CREATE TABLE saved_views (
    tenant_id text NOT NULL REFERENCES tenants,
    owner text NOT NULL,
    page text NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    search text NOT NULL CHECK (length(search) <= 4000),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, owner, page, name)
);
ALTER TABLE saved_views ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON saved_views
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), '')
        AND owner = nullif(current_setting('inopsio.actor', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), '')
        AND owner = nullif(current_setting('inopsio.actor', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON saved_views TO inopsio_app;
