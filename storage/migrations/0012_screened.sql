-- How far the second flow has read what the first claimed of a source of business facts. A table of
-- its own: the first flow holds its rows of `sources` while it commits.
CREATE TABLE screened_sources (
    tenant_id text NOT NULL,
    source text NOT NULL,
    next_position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, source)
);

-- What was read before there were marks gets one behind the claims that wait: else a payment that
-- is approved already would wait for the tenant's next fact. The owner is held to policies too.
ALTER TABLE sources NO FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY;
INSERT INTO outbox (tenant_id, topic, key, headers, value)
SELECT s.tenant_id, 'signals', s.tenant_id,
    jsonb_build_object('id', m.id, 'tenant', s.tenant_id),
    convert_to(jsonb_build_object(
        'specversion', '1.0', 'id', m.id, 'type', 'inopsio.mark', 'source', '/pipelines',
        'subject', s.source, 'tenantid', s.tenant_id, 'datacontenttype', 'application/json',
        'data', jsonb_build_object('tenant_id', s.tenant_id, 'source', s.source,
            'next_position', s.next_position)
    )::text, 'UTF8')
FROM sources AS s, LATERAL (SELECT gen_random_uuid() AS id WHERE s.source IS NOT NULL) AS m
WHERE s.source LIKE 'business:%';
ALTER TABLE sources FORCE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;

ALTER TABLE screened_sources ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON screened_sources
    USING (tenant_id = nullif(current_setting('inopsio.tenant', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('inopsio.tenant', true), ''));
GRANT SELECT ON screened_sources TO inopsio_app;
GRANT SELECT, INSERT, UPDATE ON screened_sources TO inopsio_writer;
