"""`inopsio user` and `inopsio token`: who may sign in, and what may knock."""

from pathlib import Path

import cyclopts

from api.auth import create_token, create_user, list_users
from deploy.house import known_tenant, opened, settings_for
from deploy.output import DONE, emit, say, show, table
from storage.errors import InvalidInput
from storage.tenant import Role, system_scope

_HOUR_S = 3600


def _roles(names: list[str]) -> frozenset[Role]:
    try:
        return frozenset(Role(name) for name in names)
    except ValueError as unknown:
        known = ", ".join(r.value for r in Role if r is not Role.OPERATOR)
        raise InvalidInput(f"{unknown}; roles are: {known}") from None


def user_create(
    name: str,
    *,
    tenant: str,
    role: list[str] | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Make an account; a password is made and shown once.

    Parameters
    ----------
    name: what the person signs in with.
    tenant: the tenant it belongs to.
    role: viewer, analyst, admin or auditor; may be given several times (default viewer).
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio user create")
        password = create_user(house.database, scope, name, None, _roles(role or ["viewer"]))
    if json:
        emit({"tenant": tenant, "user": name, "password": password})
    else:
        say(f"user '{name}' of tenant '{tenant}' may sign in; the password is shown once:")
        show(password)
    return DONE


def user_list(*, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """List the accounts of a tenant."""
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio user list")
        rows = list_users(house.database, scope)
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["name", "roles", "disabled", "created_at"])
    return DONE


def token_create(
    name: str,
    *,
    tenant: str,
    role: list[str] | None = None,
    hours: int = 24 * 90,
    uses: int | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Make a token for a program; it is shown once.

    Parameters
    ----------
    name: what it is for.
    tenant: the tenant it belongs to.
    role: ingest (default), viewer, analyst, admin or auditor; may be given several times.
    hours: how long it is good for.
    uses: how often it may be used; without limit if not given.
    data: data folder (default INOPSIO_DATA_DIR).
    json: print one JSON object.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio token create")
        roles = _roles(role or ["ingest"])
        token = create_token(house.database, scope, name, roles, hours * _HOUR_S, uses)
    if json:
        emit({"tenant": tenant, "name": name, "token": token})
    else:
        say(f"token '{name}' of tenant '{tenant}', good for {hours} h; it is shown once:")
        show(token)
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `user create|list` and `token create`."""
    users = cyclopts.App(name="user", help="Make and list accounts.")
    users.command(user_create, name="create")
    users.command(user_list, name="list")
    tokens = cyclopts.App(name="token", help="Make tokens for programs.")
    tokens.command(token_create, name="create")
    app.command(users)
    app.command(tokens)
