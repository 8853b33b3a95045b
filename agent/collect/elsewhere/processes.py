"""See processes start and end.

By comparison of two looks: what lives shorter than the pause between them is missed. `lost` in the
notes cannot be known this way; kernel events (audit, eBPF) come with the full agent.
"""

import contextlib
from typing import Any, Final

import psutil

from agent.collect import Look, Notes
from agent.collect._shape import event

NAME: Final = "processes"
EVERY_S: Final = 2.0
_ASKED: Final = ["pid", "ppid", "create_time", "exe", "name", "cmdline", "username", "cwd"]


def collect(notes: Notes, now_us: int) -> Look:
    """Give a Launch for each process that is new since the last look, a Terminate for each gone."""
    known: dict[str, list[Any]] = notes.get("known", {})
    alive: dict[str, list[Any]] = {}
    seen: dict[int, dict[str, Any]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            seen[process.pid] = _told(process)
    events = []
    for pid, info in seen.items():
        key = f"{pid}:{info['create_time'] or 0:.2f}"
        alive[key] = [pid, _path(info)]
        if key not in known:
            started_us = int((info["create_time"] or now_us / 1e6) * 1e6)
            events.append(_launch(info, seen.get(info["ppid"] or -1), started_us))
    for key, (pid, path) in known.items():
        if key not in alive:
            events.append(event(1007, 2, now_us, {"process": {"pid": pid, "file": {"path": path}}}))
    events.sort(key=lambda e: int(e["time"]))
    return Look(events, {"known": alive})


def _told(process: psutil.Process) -> dict[str, Any]:
    """Give what is asked of a process, None for what may not be told.

    What the system says of one process that it does not say of others is asked one by one: psutil
    gives the system's own errors as they are, and one process must not hide all.
    """
    try:
        return process.as_dict(_ASKED, ad_value=None)
    except OSError:
        return {name: _asked(process, name) for name in _ASKED}


def _asked(process: psutil.Process, name: str) -> Any:  # noqa: ANN401  whatever psutil gives
    with contextlib.suppress(psutil.AccessDenied, OSError):
        return process.as_dict([name], ad_value=None)[name]
    return None


def _path(info: dict[str, Any]) -> str | None:
    path = info["exe"] or info["name"]
    return None if path is None else str(path)


def _launch(info: dict[str, Any], parent: dict[str, Any] | None, started_us: int) -> dict[str, Any]:
    process: dict[str, Any] = {
        "pid": info["pid"],
        "file": {"path": _path(info)},
        "cmd_line": " ".join(info["cmdline"] or ()) or None,
        "working_directory": info["cwd"],
    }
    if parent is not None:
        process["parent_process"] = {
            "pid": parent["pid"],
            "file": {"path": _path(parent)},
            "cmd_line": " ".join(parent["cmdline"] or ()) or None,
        }
    return event(
        1007, 1, started_us, {"process": process, "actor": {"user": {"name": info["username"]}}}
    )
