"""`inopsio tenant`: make and list tenants, and say how long each keeps what."""

from pathlib import Path

import cyclopts

from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, table
from deploy.running import settings_for
from storage.errors import InvalidInput
from storage.quotas import rate_of, set_rate
from storage.retention import EVERY_CLASS, defaults, policies, set_policy, unset_policy
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


def retention(tenant: str, *, data: Path | None = None, json: bool = False) -> int:
    """List how long a tenant keeps what: the settings, and its own policies (0 days = for good).

    Parameters
    ----------
    tenant
        whose.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print JSON lines.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio tenant retention")
        own = policies(house.database, scope)
        rows: list[dict[str, object]] = [
            {"kind": kind, "class": "every", "days": days, "set_by": "settings"}
            for kind, days in defaults(house.settings).items()
            if not any(p.kind == kind and p.class_uid == EVERY_CLASS for p in own)
        ]
    rows += [
        {"kind": p.kind, "class": p.class_uid or "every", "days": p.keep_days, "set_by": p.set_by}
        for p in own
    ]
    if json:
        for row in rows:
            emit(row)
    else:
        table(rows, ["kind", "class", "days", "set_by"])
    return DONE


def keep(
    tenant: str,
    kind: str,
    days: int | None = None,
    *,
    class_uid: int = EVERY_CLASS,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Say how many days a tenant keeps something; without DAYS the settings count again.

    What is older is forgotten by the keeper within ten minutes, and cannot be brought back.

    Parameters
    ----------
    tenant
        whose.
    kind
        events (of the hot table), lake (all of them), or counts: minutes, hours, days.
    days
        0 = for good.
    class_uid
        of one class of events only (default: every class that has no days of its own).
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    with opened(settings_for(data)) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio tenant keep")
        if days is None:
            unset_policy(house.database, scope, kind, class_uid)
        else:
            set_policy(house.database, scope, kind, days, class_uid)
    if json:
        emit({"tenant": tenant, "kind": kind, "class": class_uid, "days": days})
    else:
        told = "as the settings say" if days is None else f"{days} days" if days else "for good"
        say(f"tenant '{tenant}' keeps {kind} {told}")
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
    """Add `tenant create|list|retention|keep|quota`."""
    group = cyclopts.App(name="tenant", help="Make tenants; say what they keep and may send.")
    group.command(create)
    group.command(list_, name="list")
    group.command(retention)
    group.command(keep)
    group.command(quota)
    app.command(group)
