-- How an agent's last update ended, and which announcements are stopped.
ALTER TABLE agents
    ADD update_serial bigint NOT NULL DEFAULT 0,
    ADD update_version text NOT NULL DEFAULT '' CHECK (length(update_version) <= 40),
    ADD update_outcome text NOT NULL DEFAULT '' CHECK (length(update_outcome) <= 20),
    ADD update_reason text NOT NULL DEFAULT '' CHECK (length(update_reason) <= 500),
    ADD updated_at timestamptz;
GRANT UPDATE (version, update_serial, update_version, update_outcome, update_reason, updated_at)
    ON agents TO inopsio_app;

-- Of no tenant: the owner's alone. `origin` is a hash of the tenant whose agents failed, or 'house'.
CREATE TABLE agent_release_stops (
    serial bigint NOT NULL,
    origin text NOT NULL CHECK (length(origin) <= 64),
    reason text NOT NULL CHECK (length(reason) <= 300),
    stopped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (serial, origin)
);