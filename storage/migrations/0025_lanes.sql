-- Several processes may share a flow by its partitions. Each partition then is a lane with state of
-- its own; lane -1 is the state over all partitions, of a flow that one process works alone.
ALTER TABLE flow_state ADD COLUMN lane integer NOT NULL DEFAULT -1;
ALTER TABLE flow_state DROP CONSTRAINT flow_state_pkey;
ALTER TABLE flow_state ADD PRIMARY KEY (flow, lane, detector, shard);

-- Who works a lane. A claim raises the epoch; a commit under an older one is refused.
CREATE TABLE flow_lanes (
    flow text NOT NULL,
    lane integer NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (flow, lane)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON flow_lanes TO inopsio_writer;
GRANT DELETE ON flow_state TO inopsio_writer;
