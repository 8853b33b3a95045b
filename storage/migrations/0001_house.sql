-- The first house: tenants, people, events, findings, incidents, offsets, state, lake, outbox.
-- Roles: inopsio_owner owns and cannot log in; inopsio_app is held to its tenant by row-level
-- security; inopsio_writer copies for all tenants (BYPASSRLS) and can read offsets and state only.

CREATE TABLE tenants (
    tenant_id text PRIMARY KEY CHECK (tenant_id ~ '^[a-z][a-z0-9-]{0,62}$'),
    title text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    suspended boolean NOT NULL DEFAULT false
);

CREATE TABLE users (
    tenant_id text NOT NULL REFERENCES tenants,
    user_id uuid NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    roles text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE sessions (
    tenant_id text NOT NULL REFERENCES tenants,
    session_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    csrf_hash bytea NOT NULL,
    PRIMARY KEY (session_hash),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);

CREATE TABLE tokens (
    tenant_id text NOT NULL REFERENCES tenants,
    token_id uuid NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    name text NOT NULL,
    roles text[] NOT NULL,
    uses_left integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, token_id)
);

CREATE TABLE audit_entries (
    tenant_id text NOT NULL,
    entry_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL DEFAULT '',
    result text NOT NULL DEFAULT 'done',
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, entry_id)
);

-- The hot days: one narrow row an event; every other column lives in the lake. Partitions are made
-- by storage/database/dialect.py, in a schema of their own.
CREATE TABLE events (
    tenant_id text NOT NULL,
    event_id uuid NOT NULL,
    "time" timestamptz NOT NULL,
    class_uid integer NOT NULL,
    activity_id integer,
    severity_id integer,
    log_format text,
    product text,
    event_code text,
    source text,
    "position" bigint,
    hostname text,
    actor_user text,
    user_name text,
    process_path text,
    cmd_line text,
    parent_path text,
    file_path text,
    src_ip text,
    src_port integer,
    dst_ip text,
    dst_port integer,
    query_hostname text,
    document_uid text,
    vendor_uid text,
    amount_cents bigint,
    message text,
    PRIMARY KEY (tenant_id, "time", event_id)
) PARTITION BY RANGE ("time");
CREATE INDEX events_host ON events (tenant_id, hostname, "time");

CREATE TABLE findings (
    tenant_id text NOT NULL,
    finding_id uuid NOT NULL,
    "time" timestamptz NOT NULL,
    detector text NOT NULL,
    detector_version text NOT NULL,
    rule_id text NOT NULL,
    title text NOT NULL,
    level text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    event_ids uuid[] NOT NULL,
    event_count bigint NOT NULL,
    reasons jsonb NOT NULL,
    attack text[] NOT NULL,
    links jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, finding_id)
);
CREATE INDEX findings_time ON findings (tenant_id, "time" DESC);
CREATE INDEX findings_entity ON findings (tenant_id, entity_type, entity, "time" DESC);

CREATE TABLE window_counts (
    tenant_id text NOT NULL,
    entity_type text NOT NULL,
    entity text NOT NULL,
    class_uid integer NOT NULL,
    window_start timestamptz NOT NULL,
    window_s integer NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (tenant_id, window_s, window_start, entity_type, entity, class_uid)
);

CREATE TABLE incidents (
    tenant_id text NOT NULL REFERENCES tenants,
    incident_id uuid NOT NULL,
    title text NOT NULL,
    level text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'in_progress', 'closed')),
    verdict text CHECK (verdict IN ('true_positive', 'false_positive', 'benign')),
    assignee text,
    entity_type text NOT NULL,
    entity text NOT NULL,
    rule_id text NOT NULL,
    opened_at timestamptz NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    finding_count bigint NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, incident_id)
);
CREATE INDEX incidents_queue ON incidents (tenant_id, status, last_time DESC);
CREATE INDEX incidents_group ON incidents (tenant_id, entity_type, entity, rule_id, last_time DESC);

CREATE TABLE incident_findings (
    tenant_id text NOT NULL,
    incident_id uuid NOT NULL,
    finding_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, incident_id, finding_id),
    FOREIGN KEY (tenant_id, incident_id) REFERENCES incidents
);
CREATE INDEX incident_findings_finding ON incident_findings (tenant_id, finding_id);

CREATE TABLE incident_notes (
    tenant_id text NOT NULL,
    incident_id uuid NOT NULL,
    note_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    author text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (tenant_id, incident_id, note_id),
    FOREIGN KEY (tenant_id, incident_id) REFERENCES incidents
);

-- What a business consumer has handled already: the same event twice gives the same ledger.
CREATE TABLE inbox (
    tenant_id text NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, consumer, event_id)
);

-- What is to be told to the log: written with the change it tells of, relayed afterwards.
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The pipelines' own: no tenant's row, so no policy; the app role has no right on them.
CREATE TABLE flow_offsets (
    flow text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    watermark_us bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (flow, topic, partition)
);

CREATE TABLE flow_state (
    flow text NOT NULL,
    detector text NOT NULL,
    shard integer NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (flow, detector, shard)
);

-- How far each origin has been read: a message at or before `position` is a repeat.
CREATE TABLE sources (
    tenant_id text NOT NULL,
    source text NOT NULL,
    name text NOT NULL,
    log_format text NOT NULL,
    next_position bigint NOT NULL,
    events bigint NOT NULL,
    rejected bigint NOT NULL,
    last_reason text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, source)
);

CREATE TABLE lake_files (
    tenant_id text NOT NULL,
    path text NOT NULL,
    class_uid integer NOT NULL,
    day date NOT NULL,
    events bigint NOT NULL,
    size_bytes bigint NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    replaced_by text,
    replaced_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, path)
);
CREATE INDEX lake_files_live ON lake_files (tenant_id, class_uid, day) WHERE replaced_by IS NULL;
