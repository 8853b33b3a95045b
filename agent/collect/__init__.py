"""Look at the host: one file a collector, found by folder.

A collector is a module with:

    NAME: str
    EVERY_S: float                            how often to look
    collect(notes, now_us) -> Look            what happened since the notes of the last look

`notes` is what the last look returned (JSON values), kept on disk together with its events, so that
a restart neither loses nor repeats. A file beginning with `_` is not a collector.
"""

import importlib
import pkgutil
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from agent.errors import AgentError

Notes = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: events (JSON objects in OCSF), and notes for the next one."""

    events: list[dict[str, Any]] = field(default_factory=list)
    notes: Notes = field(default_factory=dict)


def collectors() -> dict[str, ModuleType]:
    """Find every collector; AgentError names a file that lacks a name."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        for name in ("NAME", "EVERY_S", "collect"):
            if not hasattr(module, name):
                raise AgentError(f"agent/collect/{info.name}.py lacks '{name}'")
        found[module.NAME] = module
    return found
