"""Find plug-ins by folder: a module that lacks a name of its contract stops the start."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType

from storage.errors import PluginError


def discover(package: str, contract: Iterable[str]) -> Mapping[str, ModuleType]:
    """Import every module of the package not beginning with '_' and check its names.

    Returns module name -> module, sorted. PluginError names the file and the missing name, or why
    the file cannot be imported.
    """
    wanted = tuple(contract)
    home = importlib.import_module(package)
    found: dict[str, ModuleType] = {}
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        file = f"{package.replace('.', '/')}/{info.name}.py"
        try:
            module = importlib.import_module(f"{package}.{info.name}")
        except (ImportError, SyntaxError) as error:
            raise PluginError(f"{file} cannot be imported: {error}") from error
        for name in wanted:
            if not hasattr(module, name):
                raise PluginError(
                    f"{file} lacks '{name}'; a plug-in of this folder has: {', '.join(wanted)}"
                )
        found[info.name] = module
    return found
