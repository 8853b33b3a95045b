"""Find plug-ins by folder: a module that lacks a name of its contract stops the start."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType

from storage.errors import PluginError


def discover(package: str, contract: Iterable[str]) -> Mapping[str, ModuleType]:
    """Import every module of the package not beginning with '_' and check its names.

    Returns module name -> module, sorted. PluginError names the file and the missing name.
    """
    wanted = tuple(contract)
    home = importlib.import_module(package)
    found: dict[str, ModuleType] = {}
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        for name in wanted:
            if not hasattr(module, name):
                raise PluginError(
                    f"{package.replace('.', '/')}/{info.name}.py lacks '{name}'; a plug-in of this "
                    f"folder has: {', '.join(wanted)}"
                )
        found[info.name] = module
    return found
