"""`inopsio user`: who may sign in."""

from pathlib import Path

import cyclopts

from api.auth import create_user, list_users
from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, show, table
from deploy.roles import roles_named
from deploy.running import settings_for
from storage.tenant import system_scope


def create(
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
    name
        what the person signs in with.
    tenant
        the tenant it belongs to.
    role
        viewer, analyst, admin or auditor; may be given several times (default viewer).
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio user create")
        password = create_user(house.database, scope, name, None, roles_named(role or ["viewer"]))
    if json:
        emit({"tenant": tenant, "user": name, "password": password})
    else:
        say(f"user '{name}' of tenant '{tenant}' may sign in; the password is shown once:")
        show(password)
    return DONE


def list_(*, tenant: str, data: Path | None = None, json: bool = False) -> int:
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


def register(app: cyclopts.App) -> None:
    """Add `user create` and `user list`."""
    group = cyclopts.App(name="user", help="Make and list accounts.")
    group.command(create)
    group.command(list_, name="list")
    app.command(group)
