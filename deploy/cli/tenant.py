"""`inopsio tenant`: make and list tenants."""

from pathlib import Path

import cyclopts

from deploy.house import opened
from deploy.output import DONE, emit, say, table
from deploy.running import settings_for


def create(tenant: str, *, title: str = "", data: Path | None = None, json: bool = False) -> int:
    """Make a tenant. Making it again changes nothing.

    Parameters
    ----------
    tenant
        1-63 of a-z, 0-9 and '-', a letter first.
    title
        what people call it.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        house.database.create_tenant(tenant, title or tenant)
    if json:
        emit({"tenant": tenant})
    else:
        say(f"tenant '{tenant}' is there")
    return DONE


def list_(*, data: Path | None = None, json: bool = False) -> int:
    """List the tenants."""
    with opened(settings_for(data)) as house:
        rows = [{"tenant": t} for t in house.database.tenants()]
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["tenant"])
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `tenant create` and `tenant list`."""
    group = cyclopts.App(name="tenant", help="Make and list tenants.")
    group.command(create)
    group.command(list_, name="list")
    app.command(group)
