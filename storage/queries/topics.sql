-- Dead letters that were put back, and what a tenant may send.

-- name: letter_retried
INSERT INTO retried_letters (tenant_id, letter_id, actor)
VALUES (current_setting('inopsio.tenant'), %(letter_id)s, %(actor)s)
ON CONFLICT DO NOTHING;

-- name: letters_retried
SELECT letter_id::text AS letter_id FROM retried_letters
WHERE letter_id = ANY(%(ids)s::uuid[]);

-- name: flow_places
SELECT flow, topic, partition, next_offset FROM flow_offsets ORDER BY flow, topic, partition;

-- name: quota_get
SELECT bytes_s FROM tenant_quotas;

-- name: quota_put
INSERT INTO tenant_quotas (tenant_id, bytes_s)
VALUES (current_setting('inopsio.tenant'), %(bytes_s)s)
ON CONFLICT (tenant_id) DO UPDATE SET bytes_s = excluded.bytes_s, updated_at = now();

-- name: quota_forget
DELETE FROM tenant_quotas;
