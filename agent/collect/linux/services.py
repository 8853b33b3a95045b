"""See services start, stop, and be set to start at boot: systemd's groups and links, no bus."""

import os
from pathlib import Path
from typing import Final

from agent.collect import Event, Look, Notes
from agent.collect._shape import event
from agent.collect.linux._states import States, changes

NAME: Final = "services"
EVERY_S: Final = 10.0
GROUPS: Final = Path("/sys/fs/cgroup/system.slice")
LINKS: Final = Path("/etc/systemd/system")
_START, _STOP, _COLLECT, _OTHER = 3, 4, 2, 99


def collect(notes: Notes, now_us: int) -> Look:
    """Give Start or Stop for each service, and each change of what starts at boot.

    A service counts as running while its control group exists. The first look tells all as state.
    """
    running, enabled = _running(), _enabled()
    kept: Notes = {"running": running, "enabled": enabled}
    is_first = "running" not in notes
    events = []
    for name, _, now in changes(notes.get("running", {}), running):
        activity = _START if now is not None else _STOP
        events.append(_event(name, activity, is_first, now_us, {"state": now or "stopped"}))
    for name, was, now in changes(notes.get("enabled", {}), enabled):
        more = {"enabled_by": now or "nothing", "enabled_before": was or "nothing"}
        events.append(_event(name, _OTHER, is_first, now_us, more))
    return Look(events, kept)


def _running() -> States:
    try:
        names = [e.name for e in os.scandir(GROUPS) if e.is_dir(follow_symlinks=False)]
    except OSError:
        return {}
    return {name: "running" for name in names if name.endswith(".service")}


def _enabled() -> States:
    found: dict[str, list[str]] = {}
    for link in sorted(LINKS.glob("*.wants/*")):
        found.setdefault(link.name, []).append(link.parent.name)
    return {name: " ".join(by) for name, by in found.items()}


def _event(name: str, activity: int, is_first: bool, now_us: int, more: dict[str, str]) -> Event:
    kind, activity = (5002, _COLLECT) if is_first else (6002, activity)
    seen = event(kind, activity, now_us, {"service": {"name": name}, **more})
    seen["metadata"]["event_code"] = "service"
    return seen
