-- The front door turns senders away when the pipelines lag: it may see how far they have read,
-- and nothing else of theirs. Offsets say nothing about a tenant.
GRANT SELECT (flow, topic, partition, next_offset) ON flow_offsets TO inopsio_app;
