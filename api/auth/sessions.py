"""Open, find and end sessions of people; a session is an opaque secret in a cookie."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from api.auth.roles import roles_of
from api.auth.secrets import Key, csrf_digest, new_key, read_key
from api.desk import Desk, wall_clock_us
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import NotSignedIn
from storage.tenant import Actor, Scope, system_scope

COOKIE: Final = "inopsio"
SECURE_COOKIE: Final = "__Host-inopsio"
SEEN_EVERY: Final = timedelta(seconds=60)
"""`last_seen_at` is written at most so often: a read page is not a write."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a session belongs to, with what a guarded write has to be checked against."""

    scope: Scope
    user_id: str
    csrf_hash: bytes
    expires_at: datetime


class _Row(msgspec.Struct):
    user_id: str
    name: str
    roles: list[str]
    csrf_hash: bytes
    last_seen_at: datetime
    expires_at: datetime


def cookie_name(is_secure: bool) -> str:
    """Give the cookie's name; over HTTPS the `__Host-` prefix binds it to this very host."""
    return SECURE_COOKIE if is_secure else COOKIE


def open_session(desk: Desk, scope: Scope, user_id: str) -> Key:
    """Make a new session for the user; dead ones of the tenant are swept on the way."""
    key = new_key("session", scope.tenant_id)
    now = desk.now()
    with desk.database.app(scope) as tx:
        execute(
            tx,
            "sessions_end_dead",
            now=now,
            idle_since=now - timedelta(seconds=desk.settings.session_idle_s),
        )
        execute(
            tx,
            "session_open",
            session_hash=key.digest,
            user_id=user_id,
            now=now,
            expires_at=now + timedelta(seconds=desk.settings.session_max_s),
            csrf_hash=csrf_digest(key.csrf),
        )
    return key


def session_key(cookies: Mapping[str, str], is_secure: bool) -> Key | None:
    """Read the session's key from the cookies; None if there is none that could be ours."""
    text = cookies.get(cookie_name(is_secure))
    if not text:
        return None
    try:
        return read_key("session", text)
    except NotSignedIn:
        return None


def find_session(database: Database, key: Key, idle_s: int, now_us: int) -> SignedIn | None:
    """Give whose session it is, or None: unknown, ended, idle too long, too old, user disabled."""
    now = datetime.fromtimestamp(now_us / 1_000_000, UTC)
    with database.app(system_scope(key.tenant_id, "session")) as tx:
        rows = select(
            tx,
            "session_find",
            session_hash=key.digest,
            now=now,
            idle_since=now - timedelta(seconds=idle_s),
        )
        if not rows:
            return None
        row = msgspec.convert(rows[0], _Row)
        if now - row.last_seen_at > SEEN_EVERY:
            execute(tx, "session_seen", session_hash=key.digest, now=now)
    scope = Scope(key.tenant_id, Actor("user", row.name), roles_of(row.roles))
    return SignedIn(scope, row.user_id, row.csrf_hash, row.expires_at)


def session_scope(
    cookies: Mapping[str, str],
    database: Database,
    *,
    idle_s: int = 1800,
    is_secure: bool = False,
    now_us: int | None = None,
) -> Scope | None:
    """Give the scope of whoever these cookies belong to, or None.

    For pages and their callbacks: `idle_s` is `settings.session_idle_s`, `is_secure` is whether
    the request came by HTTPS.
    """
    key = session_key(cookies, is_secure)
    if key is None:
        return None
    found = find_session(database, key, idle_s, wall_clock_us() if now_us is None else now_us)
    return found.scope if found else None


def end_session(database: Database, key: Key, scope: Scope) -> None:
    """End one session at once."""
    with database.app(scope) as tx:
        execute(tx, "session_end", session_hash=key.digest)
