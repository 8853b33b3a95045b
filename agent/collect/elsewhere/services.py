"""See Windows services come, go, start, stop and change how they start; on macOS there are none."""

from typing import Any, Final, Protocol

import psutil

from agent.collect import Event, Look, Notes
from agent.collect._shape import event


class Service(Protocol):
    """What psutil gives on Windows."""

    def name(self) -> str:
        """Give the service's name."""

    def as_dict(self) -> dict[str, Any]:
        """Give all that is known; may raise psutil.Error or OSError."""


NAME: Final = "services"
EVERY_S: Final = 30.0
_START, _STOP, _COLLECT, _OTHER = 3, 4, 2, 99
_TOLD: Final = ("status", "start_type", "binpath", "username")


def collect(notes: Notes, now_us: int) -> Look:
    """Give what changed since the last look; the first one tells all as state."""
    services = getattr(psutil, "win_service_iter", None)
    if services is None:
        return Look([], notes)
    known: dict[str, dict[str, Any]] = notes.get("known", {})
    is_first = "known" not in notes
    alive = {s.name(): about for s in services() if (about := _about(s)) is not None}
    events = []
    for name in sorted(known.keys() | alive.keys()):
        was, now = known.get(name), alive.get(name)
        if was != now:
            events.append(_event(name, was, now, is_first, now_us))
    return Look(events, {"known": alive})


def _about(service: Service) -> dict[str, Any] | None:
    """Give what is told of a service; None for one that went away or may not be asked."""
    try:
        told = service.as_dict()
    except (psutil.Error, OSError):
        return None
    return {name: told.get(name) for name in _TOLD}


def _event(
    name: str, was: dict[str, Any] | None, now: dict[str, Any] | None, is_first: bool, now_us: int
) -> Event:
    about = now or was or {}
    more: Event = {
        "service": {"name": name, "cmd_line": about.get("binpath")},
        "state": "removed" if now is None else about.get("status"),
        "enabled_by": about.get("start_type"),
        "actor": {"user": {"name": about.get("username")}},
    }
    told = event(5002 if is_first else 6002, _COLLECT if is_first else _did(was, now), now_us, more)
    told["metadata"]["event_code"] = "service"
    return told


def _did(was: dict[str, Any] | None, now: dict[str, Any] | None) -> int:
    before, after = (about and about.get("status") for about in (was, now))
    if before == after:
        return _OTHER
    if after == "running":
        return _START
    return _STOP if before == "running" else _OTHER
