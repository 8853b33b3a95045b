-- Agents: kept and read in the tenant's scope; the authority by the owner alone.

-- name: authority_lock
LOCK TABLE agent_authorities IN EXCLUSIVE MODE;

-- name: authority_newest
SELECT authority_id::text, certificate, sealed_key
FROM agent_authorities
ORDER BY made_at DESC
LIMIT 1;

-- name: authority_add
INSERT INTO agent_authorities (authority_id, certificate, sealed_key)
VALUES (%(authority_id)s::uuid, %(certificate)s, %(sealed_key)s);

-- name: agents_alone
-- One enrolment of a tenant after the other: a host that enrols twice at once is one agent.
SELECT pg_advisory_xact_lock(hashtextextended('agents/' || current_setting('inopsio.tenant'), 0));

-- name: agent_of_machine
-- Two hosts of one image have one machine id; where the hardware is told, it keeps them apart.
SELECT agent_id::text
FROM agents
WHERE machine = %(machine)s AND machine <> ''
    AND (hardware = %(hardware)s OR hardware = '' OR %(hardware)s::text = '')
ORDER BY hardware = %(hardware)s DESC, agent_id
LIMIT 1;

-- name: agent_add
INSERT INTO agents (tenant_id, agent_id, host, machine, hardware, version, serial, not_after,
    enrolled_at, address)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(agent_id)s::uuid, %(host)s,
    %(machine)s, %(hardware)s, %(version)s, %(serial)s, %(not_after)s, %(now)s, %(address)s);

-- name: agent_again
-- What the agent was is over with its old certificate: also that it was revoked or cloned.
UPDATE agents SET host = %(host)s, version = %(version)s, serial = %(serial)s, next_serial = NULL,
    not_after = %(not_after)s, enrolments = enrolments + 1, enrolled_at = %(now)s,
    hardware = CASE WHEN %(hardware)s::text = '' THEN hardware ELSE %(hardware)s END,
    address = %(address)s, seen_at = NULL, run_id = '', run_since = NULL, past_runs = '{}', cloned_at = NULL,
    revoked_at = NULL
WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_let_in
-- By which name an administrator let it in (what it calls itself is its own word), and whether it
-- waits for a yes.
UPDATE agents SET named = %(named)s, approved_by = '', waits_since = CASE
    WHEN EXISTS (SELECT FROM agent_admission WHERE needs_approval) THEN %(now)s::timestamptz END
WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_admission
SELECT coalesce(bool_or(needs_approval), false) AS needs_approval FROM agent_admission;

-- name: agent_admission_set
INSERT INTO agent_admission (tenant_id, needs_approval, set_by)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(wanted)s, %(who)s)
ON CONFLICT (tenant_id) DO UPDATE
SET needs_approval = excluded.needs_approval, set_by = excluded.set_by, set_at = now();

-- name: agent_approve
UPDATE agents SET waits_since = NULL, approved_by = %(who)s
WHERE agent_id = %(agent_id)s::uuid AND waits_since IS NOT NULL AND revoked_at IS NULL;

-- name: agent_certificate_add
-- No row where the key has a certificate already, whoever's.
INSERT INTO agent_certificates (tenant_id, agent_id, serial, key_hash, issued_at, not_after)
VALUES (nullif(current_setting('inopsio.tenant', true), ''), %(agent_id)s::uuid, %(serial)s,
    %(key_hash)s, %(now)s, %(not_after)s)
ON CONFLICT DO NOTHING;

-- name: agent_certificates_forget
DELETE FROM agent_certificates
WHERE agent_id = %(agent_id)s::uuid AND not_after < %(before)s;

-- name: agent_certificates_since
SELECT count(*) FROM agent_certificates
WHERE agent_id = %(agent_id)s::uuid AND issued_at > %(since)s;

-- name: agent_renew
-- No row where the agent was shut out, or enrolled anew, since its certificate was looked at.
UPDATE agents SET next_serial = %(serial)s
WHERE agent_id = %(agent_id)s::uuid AND serial = %(shown)s
    AND revoked_at IS NULL AND cloned_at IS NULL;

-- name: agent_find
SELECT a.serial, a.next_serial, a.host, a.seen_at, a.address, a.run_id, a.run_since, a.past_runs,
    a.cloned_at, a.revoked_at, a.waits_since, t.suspended
FROM agents AS a
JOIN tenants AS t ON t.tenant_id = a.tenant_id
WHERE a.agent_id = %(agent_id)s::uuid;

-- name: agent_seen
UPDATE agents SET seen_at = %(now)s, address = %(address)s
WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_renewed
-- The new certificate was used: the one before is worth nothing any more.
UPDATE agents SET serial = next_serial, next_serial = NULL, not_after = %(not_after)s
WHERE agent_id = %(agent_id)s::uuid AND next_serial = %(serial)s;

-- name: agent_run
-- Another process of the agent: those before it are remembered, more than may begin in ten minutes.
UPDATE agents SET run_id = %(run_id)s, run_since = %(now)s,
    past_runs = (CASE WHEN run_id = '' THEN past_runs
        ELSE (array_prepend(run_id, past_runs))[1:48] END)
WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_cloned
UPDATE agents SET cloned_at = %(now)s WHERE agent_id = %(agent_id)s::uuid AND cloned_at IS NULL;

-- name: agent_revoke
UPDATE agents SET revoked_at = %(now)s WHERE agent_id = %(agent_id)s::uuid AND revoked_at IS NULL;

-- name: agent_restore
UPDATE agents SET revoked_at = NULL WHERE agent_id = %(agent_id)s::uuid AND revoked_at IS NOT NULL;

-- name: agent_host
SELECT host FROM agents WHERE agent_id = %(agent_id)s::uuid;

-- name: agent_is_enrolled
SELECT agent_id::text FROM agents WHERE agent_id = %(agent_id)s::uuid;

-- name: agents_all
SELECT agent_id::text, host, named, version, enrolled_at, enrolments, not_after, seen_at, address,
    cloned_at, revoked_at, waits_since, policy_version, policy_state, policy_reason, beat_at, response
FROM agents
ORDER BY coalesce(seen_at, enrolled_at) DESC, agent_id
LIMIT %(limit)s;

-- name: tenant_is_there
SELECT tenant_id FROM tenants WHERE tenant_id = current_setting('inopsio.tenant');
