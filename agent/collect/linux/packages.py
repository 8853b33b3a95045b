"""See packages come, change and go: dpkg's status file, or rpm's list where there is no dpkg."""

import subprocess
from pathlib import Path
from typing import Final

from agent.collect import Event, Look, Notes
from agent.collect._shape import event
from agent.collect.linux._states import States, changes

NAME: Final = "packages"
EVERY_S: Final = 60.0
DPKG: Final = Path("/var/lib/dpkg/status")
RPM: Final = Path("/var/lib/rpm/rpmdb.sqlite")
_INSTALL, _REMOVE, _UPDATED, _COLLECT = 1, 2, 99, 2
_RPM_LIST: Final = ("rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\\n")


def collect(notes: Notes, now_us: int) -> Look:
    """Give Install or Remove for each change; the first look tells all as state (Collect).

    The list is read only when its file has changed.
    """
    source = next((p for p in (DPKG, RPM) if p.exists()), None)
    if source is None:
        return Look([], notes)
    stamp = source.stat().st_mtime_ns
    if stamp == notes.get("stamp"):
        return Look([], notes)
    before: States = notes.get("known", {})
    after = installed()
    is_first = "known" not in notes
    events = [_event(*change, is_first, now_us) for change in changes(before, after)]
    return Look(events, {"known": after, "stamp": stamp})


def installed() -> States:
    """Give the version of each package that is there, by name and architecture."""
    return _dpkg() if DPKG.exists() else _rpm() if RPM.exists() else {}


def _dpkg() -> States:
    found: States = {}
    about: dict[str, str] = {}
    with DPKG.open(encoding="utf-8", errors="replace") as file:
        for line in (*file, "\n"):
            if line == "\n":
                if about.get("Status", "").endswith(" installed"):
                    found[f"{about['Package']}:{about['Architecture']}"] = about["Version"]
                about = {}
            elif line.startswith(("Package:", "Status:", "Version:", "Architecture:")):
                name, _, value = line.partition(":")
                about[name] = value.strip()
    return found


def _rpm() -> States:
    done = subprocess.run(_RPM_LIST, capture_output=True, text=True, timeout=120, check=True)
    rows = [line.split(" ") for line in done.stdout.splitlines()]
    return {f"{name}:{kind}": version for name, version, kind in rows}


def _event(name: str, was: str | None, now: str | None, is_first: bool, now_us: int) -> Event:
    package, _, kind = name.rpartition(":")
    more = {"package": {"name": package, "architecture": kind, "version": now or was}}
    if is_first:
        seen = event(5002, _COLLECT, now_us, more)
    elif now is None:
        seen = event(6002, _REMOVE, now_us, more)
    else:
        if was is not None:
            more["package"]["version_before"] = was
        seen = event(6002, _INSTALL if was is None else _UPDATED, now_us, more)
    seen["metadata"]["event_code"] = "package"
    return seen
