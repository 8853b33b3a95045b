"""See network connections open and close, with the process that holds them."""

import contextlib
import socket
from typing import Any, Final

import psutil

from agent.collect import Look, Notes
from agent.collect._shape import event

NAME: Final = "connections"
EVERY_S: Final = 5.0
_OPENED, _CLOSED, _LISTEN = 1, 2, 7


def collect(notes: Notes, now_us: int) -> Look:
    """Give an Open (or Listen) for each connection that is new, a Close for each that is gone."""
    known: dict[str, dict[str, Any]] = notes.get("known", {})
    alive: dict[str, dict[str, Any]] = {}
    for c in psutil.net_connections(kind="inet"):
        if c.status in {"TIME_WAIT", "CLOSE"} or not c.laddr:
            continue
        proto = "tcp" if c.type == socket.SOCK_STREAM else "udp"
        there = (c.raddr.ip, c.raddr.port) if c.raddr else ("", 0)
        key = f"{proto}|{c.laddr.ip}|{c.laddr.port}|{there[0]}|{there[1]}|{c.pid or 0}"
        alive[key] = known.get(key) or {
            "src_endpoint": {"ip": c.laddr.ip, "port": c.laddr.port},
            "dst_endpoint": {"ip": there[0] or None, "port": there[1] or None},
            "connection_info": {"protocol_name": proto, "state": c.status},
            "process": {"pid": c.pid, "file": {"path": _program(c.pid)}},
        }
    events = [
        event(4001, _OPENED if seen["dst_endpoint"]["ip"] else _LISTEN, now_us, seen)
        for key, seen in alive.items()
        if key not in known
    ]
    events += [
        event(4001, _CLOSED, now_us, seen) for key, seen in known.items() if key not in alive
    ]
    return Look(events, {"known": alive})


def _program(pid: int | None) -> str | None:
    if not pid:
        return None
    try:
        process = psutil.Process(pid)
    except (psutil.Error, OSError):
        return None
    for ask in (process.exe, process.name):
        with contextlib.suppress(psutil.Error, OSError):
            if found := ask():
                return str(found)
    return None
