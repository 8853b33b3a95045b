"""`inopsio agent release`: announce a version of the agent, stop it, see how it goes."""

import time
from pathlib import Path

import cyclopts

from api.agent_updates import FOLDER
from deploy.house import known_tenant, opened
from deploy.output import DONE, emit, say, show
from deploy.releases import Wave, publish, standing, stop
from deploy.running import settings_for
from storage.tenant import system_scope

_DAY_S = 86_400


def publish_(
    *packages: Path,
    key: Path,
    ring: str = "canary",
    percentage: int = 100,
    in_hours: float = 0,
    days: float = 14,
    to: Path | None = None,
    data: Path | None = None,
) -> int:
    """Announce a version: sign it and put it where agents look.

    Parameters
    ----------
    packages
        inopsio-agent_VERSION_SYSTEM.tar.xz of one version (`make agent-release`).
    key
        the private Ed25519 key (PEM) whose public half the hosts have.
    ring
        canary, early or all: that ring and those before it.
    percentage
        of the ring itself; those before it get it whole.
    in_hours
        when the first host may take it.
    days
        how long the announcement holds; after that it is none.
    to
        a folder that a web server lends to agents (default: the house's own).
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    folder = to or settings_for(data).data_dir / FOLDER
    now_s = int(time.time())
    begin_s = now_s + int(in_hours * 3600)
    wave = Wave(ring, percentage, begin_s, begin_s + int(days * _DAY_S))
    version = publish(folder, packages, key, wave, now_s)
    say(f"{version} is announced for {ring}, {percentage} %; `inopsio agent release status`")
    return DONE


def stop_(*, reason: str = "stopped by hand", data: Path | None = None) -> int:
    """Stop what is announced; hosts that have it already keep it.

    Parameters
    ----------
    reason
        why, for those who look.
    data
        data folder (default INOPSIO_DATA_DIR).
    """
    settings = settings_for(data)
    with opened(settings) as house:
        serial = stop(house.database, settings.data_dir, reason)
    say(f"announcement {serial} is stopped; publishing again begins anew")
    return DONE


def status(*, tenant: str, data: Path | None = None, json: bool = False) -> int:
    """Show what is announced, where it is stopped, and how updates ended.

    Parameters
    ----------
    tenant
        whose agents.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    settings = settings_for(data)
    with opened(settings) as house:
        scope = system_scope(known_tenant(house, tenant), "inopsio agent release status")
        found = standing(house.database, scope, settings.data_dir)
    if json:
        emit(found)
        return DONE
    said = found["announced"]
    if said:
        show(f"{said['version']}  for {said['ring']}, {said['percentage']} %  ({said['serial']})")
    for row in found["stops"]:
        show(f"stopped {row['stopped_at']:%Y-%m-%d %H:%M:%S}: {row['reason']}")
    for row in found["outcomes"]:
        show(f"{row['version'] or '-'}  {row['outcome']}  {row['agents']} agents ({row['serial']})")
    if not said and not found["outcomes"]:
        show("nothing is announced")
    return DONE


def group() -> cyclopts.App:
    """Give the three commands."""
    found = cyclopts.App(name="release", help="Announce versions of the agent, stop them.")
    found.command(publish_, name="publish")
    found.command(stop_, name="stop")
    found.command(status)
    return found
