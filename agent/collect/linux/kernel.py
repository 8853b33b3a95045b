"""See which kernel runs, how it was started, and drivers being loaded and unloaded."""

import platform
from pathlib import Path
from typing import Final

from agent.collect import Look, Notes
from agent.collect._shape import event
from agent.collect.linux._states import States, changes

NAME: Final = "kernel"
EVERY_S: Final = 10.0
MODULES: Final = Path("/proc/modules")
SETTINGS: Final = ("kernel/tainted", "kernel/modules_disabled", "kernel/yama/ptrace_scope")
_LOAD, _UNLOAD, _LOG, _COLLECT = 1, 2, 1, 2


def collect(notes: Notes, now_us: int) -> Look:
    """Give Load or Unload for each driver, and each change of the kernel's own state.

    The first look tells the state as one event, and learns the drivers.
    """
    modules, state = _modules(), _state()
    kept: Notes = {"modules": modules, "state": state}
    if "state" not in notes:
        more = {"kernel": state, "record_count": len(modules), "modules": " ".join(sorted(modules))}
        return Look([event(5002, _COLLECT, now_us, more)], kept)
    events = [
        event(
            1002,
            _UNLOAD if now is None else _LOAD,
            now_us,
            {"module": {"file": {"path": name}}, "module_size": now or was},
        )
        for name, was, now in changes(notes["modules"], modules)
    ]
    events += [
        event(5002, _LOG, now_us, {"setting": name, "setting_before": was, "setting_after": now})
        for name, was, now in changes(notes["state"], state)
    ]
    return Look(events, kept)


def _modules() -> States:
    try:
        lines = MODULES.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {line.split(" ", 2)[0]: line.split(" ", 2)[1] for line in lines}


def _state() -> States:
    found = {"release": platform.release(), "version": platform.version(), "cmdline": ""}
    for name in SETTINGS:
        found[name.replace("/", ".")] = _read(Path("/proc/sys", name))
    found["cmdline"] = _read(Path("/proc/cmdline"))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
