"""Run the house's processes: one file a process, found by folder, imported only when run.

A process is a module with `run(settings) -> None` that returns when it was told to stop.
"""

import importlib
import pkgutil
from pathlib import Path
from typing import Final

from storage.errors import InvalidInput, PluginError
from storage.settings import Settings

_FOLDER: Final = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Give the names of all processes, without importing them.

    >>> "api" in names()
    True
    """
    found = pkgutil.iter_modules([str(_FOLDER)])
    return tuple(sorted(m.name for m in found if not m.name.startswith("_")))


def run(name: str, settings: Settings) -> None:
    """Run the process of that name; InvalidInput lists the names there are."""
    if name not in names():
        raise InvalidInput(f"there is no process '{name}'; one of: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(module, "run"):
        raise PluginError(f"deploy/process/{name}.py lacks 'run'")
    module.run(settings)
