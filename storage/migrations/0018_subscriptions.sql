-- Feeds that are polled, and the search of the past for indicators that are new.
CREATE TABLE subscriptions (
    tenant_id text NOT NULL REFERENCES tenants,
    subscription_id uuid NOT NULL,
    feed text NOT NULL CHECK (length(feed) BETWEEN 1 AND 100),
    kind text NOT NULL CHECK (kind IN ('taxii', 'misp', 'stix', 'csv')),
    url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    collection text NOT NULL DEFAULT '' CHECK (length(collection) <= 256),
    auth text NOT NULL DEFAULT 'none' CHECK (auth IN ('none', 'basic', 'bearer', 'key')),
    secret bytea CHECK (length(secret) <= 8192),
    every_minutes integer NOT NULL CHECK (every_minutes BETWEEN 5 AND 10080),
    paused boolean NOT NULL DEFAULT false,
    cursor jsonb NOT NULL DEFAULT '{}',
    due_at timestamptz NOT NULL DEFAULT now(),
    poll_id uuid,
    beat_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    polled_at timestamptz,
    last_error text NOT NULL DEFAULT '' CHECK (length(last_error) <= 500),
    last_result jsonb,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, subscription_id),
    UNIQUE (tenant_id, feed)
);
CREATE INDEX subscriptions_due ON subscriptions (due_at) WHERE NOT paused;

-- One search of a tenant waits at most: what arrives meanwhile is taken along.
CREATE TABLE indicator_matches (
    tenant_id text NOT NULL REFERENCES tenants,
    match_id uuid NOT NULL,
    days integer NOT NULL DEFAULT 90 CHECK (days BETWEEN 1 AND 366),
    until timestamptz NOT NULL DEFAULT now(),
    reached timestamptz,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    indicators bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    findings bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz,
    PRIMARY KEY (tenant_id, match_id)
);
CREATE UNIQUE INDEX indicator_matches_queued ON indicator_matches (tenant_id)
    WHERE status = 'queued';
CREATE INDEX indicator_matches_waiting ON indicator_matches (created_at)
    WHERE status IN ('queued', 'running');

-- Which search of the past an indicator is part of; none yet = null. What is there already was
-- searched for when it was imported, or was not to be.
ALTER TABLE indicators ADD COLUMN match_id uuid DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE indicators ALTER COLUMN match_id DROP DEFAULT;
CREATE INDEX indicators_match ON indicators (tenant_id, match_id);
CREATE INDEX indicators_pattern ON indicators (tenant_id, feed, pattern_id)
    WHERE pattern_id <> '';

-- Where a vendor writes from and is written to.
ALTER TABLE erp_vendors ADD COLUMN domain text NOT NULL DEFAULT '' CHECK (length(domain) <= 253);
GRANT UPDATE (domain) ON erp_vendors TO inopsio_app;

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['subscriptions', 'indicator_matches'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT, DELETE ON subscriptions TO inopsio_app;
GRANT UPDATE (url, collection, auth, secret, every_minutes, paused, cursor, due_at, poll_id,
    beat_at, failures, polled_at, last_error, last_result) ON subscriptions TO inopsio_app;
GRANT SELECT, INSERT, DELETE ON indicator_matches TO inopsio_app;
GRANT UPDATE (until, reached, status, indicators, events, findings, reason, attempts, beat_at)
    ON indicator_matches TO inopsio_app;
-- Who runs them looks over all tenants for what is due; no address and no secret is seen so.
GRANT SELECT (tenant_id, subscription_id, paused, due_at, beat_at) ON subscriptions
    TO inopsio_writer;
GRANT SELECT (tenant_id, match_id, status, created_at, until, beat_at, events, findings),
    UPDATE (reached, events, findings, attempts, beat_at) ON indicator_matches TO inopsio_writer;
