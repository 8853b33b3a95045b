"""Keep the accounts of people: make, list, change; sign them in by password."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from api.auth.passwords import check_password, hash_password, is_outdated, verify
from api.auth.roles import check_givable, roles_of
from api.auth.secrets import Key
from api.auth.sessions import open_session
from api.desk import Desk, wall_clock_us
from api.throttle import Throttle
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound, NotSignedIn
from storage.identity import new_id
from storage.tenant import Actor, Role, Scope, system_scope, tenant_name

LONGEST_NAME: Final = 128
_WRONG: Final = "tenant, name or password is wrong"


def create_user(
    database: Database, scope: Scope, name: str, password: str | None, roles: Iterable[Role]
) -> str:
    """Make an account; give its password, made here if None is given (24 random letters).

    InvalidInput for a name that is taken or a weak password; NotAllowed without `users:write`.
    """
    given = frozenset(roles)
    word = secrets.token_urlsafe(18) if password is None else password
    if password is not None:
        check_password(word, name, scope.tenant_id)
    add_user(database, scope, name, hash_password(word), given)
    return word


def add_user(
    database: Database, scope: Scope, name: str, password_hash: str, roles: frozenset[Role]
) -> str:
    """Make an account with a ready hash ('' = no password yet); give its id."""
    scope.require("users:write")
    check_givable(scope, roles)
    _check_name(name)
    if not roles:
        raise InvalidInput(f"user '{name}' needs at least one role")
    user_id = new_id(wall_clock_us())
    words = sorted(r.value for r in roles)
    with database.app(scope) as tx:
        if not select(tx, "tenant_is_open"):
            raise NotFound(f"tenant '{scope.tenant_id}' is not there")
        made = execute(
            tx, "user_add", user_id=user_id, name=name, password_hash=password_hash, roles=words
        )
        if not made:
            raise InvalidInput(f"user '{name}' exists already")
        write_audit(tx, scope, "user.create", user_id, detail={"name": name, "roles": words})
    return user_id


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name.strip() != name:
        raise InvalidInput(f"a user's name has 1 to {LONGEST_NAME} printable characters")


def list_users(database: Database, scope: Scope) -> list[dict[str, Any]]:
    """List the tenant's accounts: user_id, name, roles, created_at, disabled, has_password."""
    scope.require("users:write")
    with database.app(scope) as tx:
        return select(tx, "users_all")


def change_user(
    database: Database,
    scope: Scope,
    user_id: str,
    roles: Iterable[Role] | None = None,
    disabled: bool | None = None,
) -> dict[str, Any]:
    """Change roles or disable; either ends the user's sessions at once. NotFound, NotAllowed."""
    scope.require("users:write")
    words = None if roles is None else sorted(r.value for r in roles)
    with database.app(scope) as tx:
        found = select(tx, "user_by_id", user_id=user_id)
        if not found:
            raise NotFound(f"user {user_id} is not there")
        check_givable(scope, roles_of(found[0]["roles"]) | roles_of(words))
        if found[0]["name"] == scope.actor.name and scope.actor.kind == "user":
            raise InvalidInput("nobody changes their own roles; ask another administrator")
        execute(tx, "user_change", user_id=user_id, roles=words, disabled=disabled)
        execute(tx, "sessions_end_of_user", user_id=user_id)
        detail = {"roles": words, "disabled": disabled}
        write_audit(tx, scope, "user.change", user_id, detail=detail)
        return select(tx, "user_by_id", user_id=user_id)[0]


def set_password(database: Database, scope: Scope, user_id: str, password: str) -> None:
    """Give one's own account a new password; every session of it ends."""
    check_password(password, scope.actor.name, scope.tenant_id)
    hashed = hash_password(password)
    with database.app(scope) as tx:
        execute(tx, "user_set_password", user_id=user_id, password_hash=hashed)
        execute(tx, "sessions_end_of_user", user_id=user_id)
        write_audit(tx, scope, "user.set-password", user_id)


def check_own_password(desk: Desk, scope: Scope, password: str) -> None:
    """Pass if it is the actor's password, or if the account has none yet; else NotSignedIn.

    Guessing is slowed down as at the sign-in: a stolen session must not find the password.
    """
    with desk.database.app(scope) as tx:
        row = select(tx, "user_by_name", name=scope.actor.name)[0]
    if not row["password_hash"]:
        return
    account = f"{scope.tenant_id}/{scope.actor.name}"
    with _counted(((desk.pair_tries, f"{account}#present"),), desk.now_us()):
        if verify(str(row["password_hash"]), password):
            return
        with desk.database.app(scope) as tx:
            write_audit(tx, scope, "user.set-password", str(row["user_id"]), "refused")
        raise NotSignedIn("the present password is wrong")


@contextmanager
def _counted(tries: tuple[tuple[Throttle, str], ...], now_us: int) -> Iterator[None]:
    """Count a try as failed from its begin, so that tries at once count too; NotSignedIn: it was.

    Overloaded when one of the keys failed too often already.
    """
    for throttle, key in tries:
        throttle.check(key, now_us)
    for throttle, key in tries:
        throttle.fail(key, now_us)
    has_failed = False
    try:
        yield
    except NotSignedIn:
        has_failed = True
        raise
    finally:
        if not has_failed:
            for throttle, key in tries:
                throttle.give_back(key, now_us)


def sign_in(desk: Desk, tenant: str, name: str, password: str, address: str) -> Key:
    """Open a session for whoever knows the password.

    NotSignedIn, in the same words and time for an unknown tenant, name or password; Overloaded
    when the account or the address failed too often.
    """
    now_us = desk.now_us()
    account = f"{tenant[:64]}/{name[:LONGEST_NAME]}"
    pair = f"{account}@{address}"
    tries = (
        (desk.pair_tries, pair),
        (desk.account_tries, account),
        (desk.address_tries, address),
    )
    with _counted(tries, now_us):
        row = _known(desk, tenant, name, password, address)
    desk.pair_tries.forgive(pair)
    scope = Scope(tenant, Actor("user", str(row["name"])), roles_of(row["roles"]))
    user_id = str(row["user_id"])
    if is_outdated(str(row["password_hash"])):
        with desk.database.app(scope) as tx:
            execute(tx, "user_set_password", user_id=user_id, password_hash=hash_password(password))
    _note(desk.database, tenant, str(row["name"]), address, True)
    return open_session(desk, scope, user_id)


def _known(desk: Desk, tenant: str, name: str, password: str, address: str) -> dict[str, Any]:
    is_open, row = _account(desk.database, tenant, name)
    is_right = verify(str(row["password_hash"]) if row else None, password[:1024])
    if is_right and row is not None and not row["disabled"] and is_open:
        return row
    if is_open:
        _note(desk.database, tenant, name, address, False)
    raise NotSignedIn(_WRONG)


def _account(database: Database, tenant: str, name: str) -> tuple[bool, dict[str, Any] | None]:
    try:
        scope = system_scope(tenant_name(tenant), "sign-in")
        with database.app(scope) as tx:
            is_open = bool(select(tx, "tenant_is_open"))
            rows = select(tx, "user_by_name", name=name)
    except InvalidInput:
        return False, None
    return is_open, rows[0] if rows else None


def _note(database: Database, tenant: str, name: str, address: str, is_done: bool) -> None:
    scope = Scope(tenant, Actor("user", name[:LONGEST_NAME].replace("\x00", "")), frozenset())
    with database.app(scope) as tx:
        write_audit(
            tx,
            scope,
            "session.sign-in",
            result="done" if is_done else "refused",
            detail={"address": address},
        )
