"""`inopsio token`: what programs knock with."""

from pathlib import Path

import cyclopts

from api.auth import create_token
from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, show
from deploy.roles import roles_named
from deploy.running import settings_for
from storage.tenant import system_scope

_HOUR_S = 3600


def create(
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
    name
        what it is for.
    tenant
        the tenant it belongs to.
    role
        ingest (default), viewer, analyst, admin or auditor; may be given several times.
    hours
        how long it is good for.
    uses
        how often it may be used; without limit if not given.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio token create")
        roles = roles_named(role or ["ingest"])
        token = create_token(house.database, scope, name, roles, hours * _HOUR_S, uses)
    if json:
        emit({"tenant": tenant, "name": name, "token": token})
    else:
        say(f"token '{name}' of tenant '{tenant}', good for {hours} h; it is shown once:")
        show(token)
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `token create`."""
    group = cyclopts.App(name="token", help="Make tokens for programs.")
    group.command(create)
    app.command(group)
