-- name: tenant_is_open
SELECT tenant_id FROM tenants
WHERE tenant_id = current_setting('inopsio.tenant') AND NOT suspended;

-- name: user_by_name
SELECT user_id::text, name, password_hash, roles, disabled
FROM users
WHERE name = %(name)s;

-- name: user_by_id
SELECT user_id::text, name, roles, created_at, disabled, password_hash <> '' AS has_password
FROM users
WHERE user_id = %(user_id)s::uuid;

-- name: users_all
SELECT user_id::text, name, roles, created_at, disabled, password_hash <> '' AS has_password
FROM users
ORDER BY name
LIMIT 1000;

-- name: user_add
INSERT INTO users (tenant_id, user_id, name, password_hash, roles)
VALUES (current_setting('inopsio.tenant'), %(user_id)s::uuid, %(name)s, %(password_hash)s,
    %(roles)s)
ON CONFLICT (tenant_id, name) DO NOTHING;

-- name: user_set_password
UPDATE users SET password_hash = %(password_hash)s WHERE user_id = %(user_id)s::uuid;

-- name: user_change
UPDATE users
SET roles = coalesce(%(roles)s::text[], roles), disabled = coalesce(%(disabled)s, disabled)
WHERE user_id = %(user_id)s::uuid;

-- name: session_open
INSERT INTO sessions (
    tenant_id, session_hash, user_id, created_at, last_seen_at, expires_at, csrf_hash)
VALUES (current_setting('inopsio.tenant'), %(session_hash)s, %(user_id)s::uuid, %(now)s, %(now)s,
    %(expires_at)s, %(csrf_hash)s);

-- name: session_find
SELECT s.user_id::text, u.name, u.roles, s.created_at, s.last_seen_at, s.expires_at, s.csrf_hash
FROM sessions AS s
JOIN users AS u ON u.tenant_id = s.tenant_id AND u.user_id = s.user_id AND NOT u.disabled
JOIN tenants AS t ON t.tenant_id = s.tenant_id AND NOT t.suspended
WHERE s.session_hash = %(session_hash)s AND s.expires_at > %(now)s
    AND s.last_seen_at > %(idle_since)s;

-- name: session_seen
UPDATE sessions SET last_seen_at = %(now)s WHERE session_hash = %(session_hash)s;

-- name: session_end
DELETE FROM sessions WHERE session_hash = %(session_hash)s;

-- name: sessions_end_of_user
DELETE FROM sessions WHERE user_id = %(user_id)s::uuid;

-- name: sessions_end_dead
DELETE FROM sessions WHERE expires_at <= %(now)s OR last_seen_at <= %(idle_since)s;

-- name: token_add
INSERT INTO tokens (tenant_id, token_id, token_hash, name, roles, uses_left, expires_at,
    created_by)
VALUES (current_setting('inopsio.tenant'), %(token_id)s::uuid, %(token_hash)s, %(name)s,
    %(roles)s, %(uses)s, %(expires_at)s, %(created_by)s);

-- name: token_find
SELECT k.token_id::text, k.token_hash, k.name, k.roles, k.uses_left, k.created_by
FROM tokens AS k
JOIN tenants AS t ON t.tenant_id = k.tenant_id AND NOT t.suspended
WHERE k.token_hash = %(token_hash)s AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
    AND (k.uses_left IS NULL OR k.uses_left > 0);

-- name: token_use
-- Check and use in one statement: two clients cannot both take the last use.
UPDATE tokens SET uses_left = uses_left - 1
WHERE token_hash = %(token_hash)s AND uses_left > 0 AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > %(now)s)
RETURNING name;

-- name: tokens_all
SELECT token_id::text, name, roles, uses_left, created_at, expires_at, revoked_at
FROM tokens
ORDER BY created_at DESC, token_id
LIMIT 1000;

-- name: token_revoke
UPDATE tokens SET revoked_at = %(now)s
WHERE token_id = %(token_id)s::uuid AND revoked_at IS NULL;

-- name: tokens_revoke_named
UPDATE tokens SET revoked_at = %(now)s WHERE name = %(name)s AND revoked_at IS NULL;
