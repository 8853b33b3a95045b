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
        self._events: list[Event] = []
        self._lines: list[bytes] = []
        self._most = most
        self._fresh = False
        self.notes: Notes = notes or {}
        self.lost = 0

    def put(
        self, events: list[Event], notes: Notes | None = None, lines: list[bytes] | None = None
    ) -> None:
        """Hand over events or lines and, if given, the notes that hold once they are kept."""
        with self._lock:
            self.lost += _fill(self._events, events, self._most)
            self.lost += _fill(self._lines, lines or [], self._most)
            if notes is not None:
                self.notes, self._fresh = notes, True

    def take(self) -> tuple[Look, int, bool]:
        """Give what waits, how many were lost, and whether the notes are new; then begin anew."""
        with self._lock:
            seen = Look(self._events, self.notes, self._lines), self.lost, self._fresh
            self._events, self._lines, self.lost, self._fresh = [], [], 0, False
        return seen

    def put_back(self, seen: Look, lost: int, fresh: bool) -> None:
        """Take back what could not be kept, to the front."""
        with self._lock:
            later, later_lines = self._events, self._lines
            self._events, self._lines = list(seen.events), list(seen.lines)
            self.lost += lost + _fill(self._events, later, self._most)
            self.lost += _fill(self._lines, later_lines, self._most)
            self._fresh = self._fresh or fresh


def _fill(held: list[Any], new: list[Any], most: int) -> int:
    """Add what there is room for; give how many found none."""
    room = max(0, most - len(held))
    held += new[:room]
    return max(0, len(new) - room)


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
