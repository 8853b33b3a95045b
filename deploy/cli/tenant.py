"""`inopsio tenant`: make and list tenants."""

from pathlib import Path

import cyclopts

from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, table
from deploy.running import settings_for
from storage.errors import InvalidInput
from storage.quotas import rate_of, set_rate
from storage.tenant import system_scope


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


def quota(
    tenant: str,
    *,
    bytes_s: int | None = None,
    usual: bool = False,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Show or set how many bytes a second a tenant may send; the audit trail says who changed it.

    Parameters
    ----------
    tenant
        whose quota.
    bytes_s
        bytes a second, 0 for no bound.
    usual
        take the tenant's own quota away: INOPSIO_TENANT_BYTES_S counts again.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    if usual and bytes_s is not None:
        raise InvalidInput("--usual and --bytes-s exclude each other")
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio tenant quota")
        if usual or bytes_s is not None:
            set_rate(house.database, scope, bytes_s)
        own = rate_of(house.database, scope)
        now = house.settings.tenant_bytes_s if own is None else own
    if json:
        emit({"tenant": tenant, "bytes_s": now, "is_own": own is not None})
    else:
        say(f"tenant '{tenant}': {f'{now} bytes a second' if now else 'no bound'}")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `tenant create|list|quota`."""
    group = cyclopts.App(name="tenant", help="Make and list tenants.")
    group.command(create)
    group.command(list_, name="list")
    group.command(quota)
    app.command(group)
