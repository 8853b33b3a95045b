"""Look at the host: one file a collector, found by folder.

A collector is a module with a NAME and one of two ways to look:

    EVERY_S: float                            how often to look
    collect(notes, now_us) -> Look            what happened since the notes of the last look

    watch(out, stop, options) -> None         put what happens into `out` until `stop`

`collect` is called in turn with the others. `watch` runs in a thread of its own; `options` is the
table `[collect.NAME]` of the agent's settings. Notes (JSON values) are kept on disk together with
the events they belong to, so that a restart neither loses nor repeats. Files beginning with `_` are
no collectors. `linux/` counts on Linux, `elsewhere/` on other systems.
"""

import importlib
import pkgutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from agent.errors import AgentError

Notes = dict[str, Any]
Event = dict[str, Any]
MOST_WAITING: Final = 20_000
"""Events between a watcher and the disk: about a minute of a storm, some 40 MB."""
ROOM_BYTES: Final = 2048
"""A line or command line of so many bytes takes the room of one more."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: events (JSON objects in OCSF), and notes for the next one.

    `lines`: records in the source's own words instead, `written_as` a format of the house.
    """

    events: list[Event] = field(default_factory=list)
    notes: Notes = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    written_as: str = "syslog"


class Out:
    """Where a watcher puts what it sees. Bounded: what finds no room is counted in `lost`."""

    def __init__(self, notes: Notes | None = None, most: int = MOST_WAITING) -> None:
        """Begin with the notes that were kept."""
        self._lock = threading.Lock()
        self._most = most
        self._events, self._lines = _Waiting(most), _Waiting(most)
        self._fresh = False
        self.notes: Notes = notes or {}
        self.lost = 0

    def put(
        self, events: list[Event], notes: Notes | None = None, lines: list[bytes] | None = None
    ) -> None:
        """Hand over events or lines and, if given, the notes that hold once they are kept."""
        with self._lock:
            self.lost += self._events.add(events)
            self.lost += self._lines.add(lines or [])
            if notes is not None:
                self.notes, self._fresh = notes, True

    def take(self) -> tuple[Look, int, bool]:
        """Give what waits, how many were lost, and whether the notes are new; then begin anew."""
        with self._lock:
            look = Look(self._events.items, self.notes, self._lines.items)
            seen = look, self.lost, self._fresh
            self._events, self._lines = _Waiting(self._most), _Waiting(self._most)
            self.lost, self._fresh = 0, False
        return seen

    def put_back(self, seen: Look, lost: int, fresh: bool) -> None:
        """Take back what could not be kept, to the front."""
        with self._lock:
            later, later_lines = self._events, self._lines
            self._events, self._lines = _Waiting(self._most), _Waiting(self._most)
            self.lost += lost + self._events.add(seen.events) + self._lines.add(seen.lines)
            self.lost += self._events.add(later.items) + self._lines.add(later_lines.items)
            self._fresh = self._fresh or fresh


class _Waiting:
    """What waits for the disk. A long one takes the room of many: its writer chose its length."""

    def __init__(self, most: int) -> None:
        self.items: list[Any] = []
        self._room = most

    def add(self, new: list[Any]) -> int:
        """Add what there is room for, in order; give how many found none."""
        for at, item in enumerate(new):
            self._room -= 1 + _long_bytes(item) // ROOM_BYTES
            if self._room < 0:
                self._room = 0
                return len(new) - at
            self.items.append(item)
        return 0


def _long_bytes(item: Event | bytes) -> int:
    """Give the size of what may be long in it: a line, or the command lines of a process."""
    if isinstance(item, bytes):
        return len(item)
    process = item.get("process") or {}
    parent = process.get("parent_process") or {}
    return len(process.get("cmd_line") or "") + len(parent.get("cmd_line") or "")


def collectors(system: str = sys.platform) -> dict[str, ModuleType]:
    """Find every collector for the system; AgentError names a file that lacks a name."""
    found: dict[str, ModuleType] = {}
    for folder in ("", ".linux" if system == "linux" else ".elsewhere"):
        package = importlib.import_module(__name__ + folder)
        for info in pkgutil.iter_modules(package.__path__):
            if info.name.startswith("_") or info.ispkg:
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name in ("NAME", "watch" if hasattr(module, "watch") else "collect"):
                if not hasattr(module, name):
                    raise AgentError(f"{module.__name__}: it lacks '{name}'")
            found[module.NAME] = module
    return found


def options_of(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give the options of one collector out of the settings."""
    table = settings.get("collect", {}).get(name, {})
    if not isinstance(table, dict):
        raise AgentError(f"settings: [collect.{name}] is a table")
    return table
