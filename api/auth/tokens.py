"""Keep the tokens of programs and the one-time links of first sign-ins: hashed, short-lived."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.auth.people import LONGEST_NAME, add_user, list_users
from api.auth.roles import check_givable, roles_of
from api.auth.secrets import Key, is_same, new_key, read_key
from api.auth.sessions import open_session
from api.desk import Desk, wall_clock_us
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound, NotSignedIn
from storage.identity import new_id
from storage.tenant import Actor, Role, Scope, system_scope

LONGEST_TTL_S: Final = 366 * 24 * 3600
LINK_TTL_S: Final = 3600
FIRST_USER: Final = "admin"
_LINK_NAME: Final = "sign-in:"
_OWN_NAMES: Final = (_LINK_NAME, "enrol:")
"""Beginnings of names that the house gives by itself."""


def create_token(
    database: Database,
    scope: Scope,
    name: str,
    roles: Iterable[Role],
    ttl_s: int,
    uses: int | None = None,
) -> str:
    """Make a token; give its text, which is shown once and stored only as a hash.

    InvalidInput for a bad name, no role, or a life outside 1 s to 366 days; NotAllowed without
    `tokens:write`.
    """
    scope.require("tokens:write")
    given = frozenset(roles)
    check_givable(scope, given)
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name.startswith(_OWN_NAMES):
        raise InvalidInput(f"a token's name has 1 to {LONGEST_NAME} printable characters")
    if not given or not 1 <= ttl_s <= LONGEST_TTL_S or (uses is not None and uses < 1):
        raise InvalidInput("a token needs a role, a life of 1 s to 366 days and uses above 0")
    return keep_key(database, scope, new_key("token", scope.tenant_id), name, given, ttl_s, uses)


def keep_key(
    database: Database,
    scope: Scope,
    key: Key,
    name: str,
    roles: frozenset[Role],
    ttl_s: int,
    uses: int | None,
) -> str:
    """Store a key's hash and what it is for; give its text. The caller checked the grant."""
    now = datetime.now(UTC)
    token_id = new_id(wall_clock_us())
    words = sorted(r.value for r in roles)
    with database.app(scope) as tx:
        if not select(tx, "tenant_is_open"):
            raise NotFound(f"tenant '{scope.tenant_id}' is not there")
        execute(
            tx,
            "token_add",
            token_id=token_id,
            token_hash=key.digest,
            name=name,
            roles=words,
            uses=uses,
            expires_at=now + timedelta(seconds=ttl_s),
            created_by=scope.actor.person,
        )
        write_audit(tx, scope, "token.create", token_id, detail={"name": name, "roles": words})
    return key.text


def list_tokens(database: Database, scope: Scope) -> list[dict[str, Any]]:
    """List the tenant's tokens, newest first; never their text."""
    scope.require("tokens:write")
    with database.app(scope) as tx:
        return select(tx, "tokens_all")


def revoke_token(database: Database, scope: Scope, token_id: str) -> None:
    """Make a token worthless at once; NotFound if there is none that still works."""
    scope.require("tokens:write")
    with database.app(scope) as tx:
        if not execute(tx, "token_revoke", token_id=token_id, now=datetime.now(UTC)):
            raise NotFound(f"token {token_id} is not there, or is revoked already")
        write_audit(tx, scope, "token.revoke", token_id)


def token_scope(database: Database, text: str, now_us: int) -> Scope:
    """Give the scope of a bearer token and count the use; NotSignedIn if it is not good (now)."""
    key = read_key("token", text)
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    with database.app(system_scope(key.tenant_id, "token")) as tx:
        rows = select(tx, "token_find", token_hash=key.digest, now=now)
        good = bool(rows) and is_same(_bytes(rows[0]["token_hash"]), key.digest)
        if good and rows[0]["uses_left"] is not None:
            good = execute(tx, "token_use", token_hash=key.digest, now=now) == 1
    if not good:
        raise NotSignedIn("the token is unknown, expired, used up or revoked")
    actor = Actor("token", str(rows[0]["name"]), str(rows[0]["created_by"]))
    return Scope(key.tenant_id, actor, roles_of(rows[0]["roles"]))


def _bytes(stored: object) -> bytes:
    return stored if isinstance(stored, bytes) else b""


def make_first_link(database: Database, tenant_id: str, user: str = FIRST_USER) -> str | None:
    """Make the path of a one-time sign-in for a tenant nobody can sign in to yet, else None.

    The administrator's account is made on the way (without a password). Good for one hour, once;
    an older unused link of the same user is revoked.
    """
    scope = system_scope(tenant_id, "first sign-in")
    people = list_users(database, scope)
    if any(p["has_password"] and not p["disabled"] for p in people):
        return None
    if not any(p["name"] == user for p in people):
        add_user(database, scope, user, "", frozenset({Role.ADMIN}))
    name = _LINK_NAME + user
    with database.app(scope) as tx:
        execute(tx, "tokens_revoke_named", name=name, now=datetime.now(UTC))
    key = new_key("link", tenant_id)
    text = keep_key(database, scope, key, name, frozenset({Role.ADMIN}), LINK_TTL_S, 1)
    return f"/sign-in/once?token={text}"


def sign_in_once(desk: Desk, text: str) -> Key:
    """Open a session by a one-time link; NotSignedIn when it was used, is too old or unknown."""
    key = read_key("link", text)
    scope = system_scope(key.tenant_id, "first sign-in")
    with desk.database.app(scope) as tx:
        rows = select(tx, "token_find", token_hash=key.digest, now=desk.now())
        used = execute(tx, "token_use", token_hash=key.digest, now=desk.now())
        if not rows or used != 1:
            raise NotSignedIn("this sign-in link was used, is over an hour old, or is not ours")
        name = str(rows[0]["name"]).removeprefix(_LINK_NAME)
        users = select(tx, "user_by_name", name=name)
        if not users or users[0]["disabled"]:
            raise NotSignedIn("this sign-in link is of an account that is closed")
        write_audit(tx, scope, "session.sign-in-once", str(users[0]["user_id"]))
    user = users[0]
    person = Scope(key.tenant_id, Actor("user", name), roles_of(user["roles"]))
    return open_session(desk, person, str(user["user_id"]))
