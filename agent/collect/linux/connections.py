"""See connections open and close, and ports listen, with the process that holds them.

Asked of the kernel every two seconds; what opened and closed in between is told by the kernel as it
ends (without its process: nobody holds it any more). The opener is `src_endpoint`.
"""

import os
import threading
from typing import Any, Final

from agent.collect import Event, Out
from agent.collect._community import community_id
from agent.collect._shape import agent_event, event, now_us
from agent.collect.linux import _proc
from agent.collect.linux._sockdiag import CLOSED, LISTEN, STATES, Endings, Sock, sockets

NAME: Final = "connections"
EVERY_S: Final = 2.0
NOTE_ROUNDS: Final = 30
_OPEN, _CLOSE, _LISTENS = 1, 2, 7
_EPHEMERAL: Final = 32768
_CLOSING: Final = frozenset({4, 5, 8, 9, 11})


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Tell connections until told to stop. Option `every_s`: pause between two looks."""
    try:
        endings: Endings | None = Endings()
    except OSError as wrong:
        endings = None
        text = f"connections shorter than the pause between two looks are not seen: {wrong}"
        out.put([agent_event("source_limited", now_us(), text, collector=NAME)])
    known = Known(set(out.notes.get("told", [])))
    rounds = 0
    try:
        while not stop.is_set():
            ended = endings.read() if endings else []
            events = known.compare(sockets(), ended, now_us())
            if endings and endings.missed_since_us:
                events.append(_overrun(endings))
            is_noted = rounds % NOTE_ROUNDS == 0
            if events or is_noted:
                out.put(events, {"told": known.told()} if is_noted else None)
            rounds += 1
            stop.wait(float(options.get("every_s", EVERY_S)))
    finally:
        if endings:
            endings.close()
    out.put([], {"told": known.told()})


def _overrun(endings: Endings) -> Event:
    since_us, endings.missed_since_us = endings.missed_since_us, 0
    text = "the kernel had no room for ends of connections; short ones are missing"
    at_us = now_us()
    more = {"start_time_us": since_us, "end_time_us": at_us, "collector": NAME}
    return agent_event("kernel_overrun", at_us, text, **more)


class Known:
    """The sockets that were told of, by their lasting name."""

    def __init__(self, told: set[str]) -> None:
        """Begin with what was told before a restart."""
        self._told_before = told
        self._live: dict[str, Event] = {}

    def told(self) -> list[str]:
        """Give their names, for the notes."""
        return sorted(self._live)

    def compare(self, now: list[Sock], ended: list[Sock], at_us: int) -> list[Event]:
        """Give what opened, what closed, and what did both in between."""
        ports = {(s.proto, s.here_port) for s in now if _is_listening(s)}
        alive = {_name(s): s for s in now if _counts(s)}
        new = {name: s for name, s in alive.items() if name not in self._live}
        owners = _owners({s.inode for s in new.values()} - {0})
        events = []
        for name, sock in new.items():
            self._live[name] = seen = _seen(sock, ports, owners.get(sock.inode))
            if name not in self._told_before:
                events.append(event(4001, _LISTENS if _is_listening(sock) else _OPEN, at_us, seen))
        for sock in ended:
            name = _name(sock)
            if name not in self._live and name not in self._told_before and sock.there_port:
                seen = _seen(sock, ports, None)
                events.append(event(4001, _OPEN, at_us, seen))
                events.append(event(4001, _CLOSE, at_us, seen))
        for name in [n for n in self._live if n not in alive]:
            events.append(event(4001, _CLOSE, at_us, self._live.pop(name)))  # noqa: PERF401  it pops
        self._told_before = set()
        return events


def _is_listening(sock: Sock) -> bool:
    if sock.proto == "tcp":
        return sock.state == LISTEN
    return sock.state == CLOSED and not sock.there_port and sock.here_port < _EPHEMERAL


def _counts(sock: Sock) -> bool:
    if sock.inode == 0 and sock.state in _CLOSING:
        return False  # its process has closed it; the kernel waits for the other end
    return bool(sock.there_port) or _is_listening(sock)


def _name(sock: Sock) -> str:
    return f"{_proc.boot_mark()}|{sock.proto}|{sock.cookie.hex()}|{sock.there_port}"


def _seen(sock: Sock, ports: set[tuple[str, int]], pid: int | None) -> Event:
    here, there = (sock.here, sock.here_port), (sock.there, sock.there_port)
    is_inbound = bool(sock.there_port) and (sock.proto, sock.here_port) in ports
    source, target = (there, here) if is_inbound else (here, there)
    seen: Event = {
        "src_endpoint": {"ip": source[0], "port": source[1]},
        "connection_info": {"protocol_name": sock.proto, "state": STATES.get(sock.state)},
        "actor": {"user": {"name": _proc.user_name(sock.uid), "uid": str(sock.uid)}},
    }
    if sock.there_port:
        seen["dst_endpoint"] = {"ip": target[0], "port": target[1]}
        seen["connection_info"]["direction"] = "inbound" if is_inbound else "outbound"
        seen["connection_info"]["community_uid"] = community_id(sock.proto, here, there)
    if pid is not None:
        process = _proc.read(pid)
        if process is not None:
            path, cmd_line = process.path or None, process.cmd_line
            seen["process"] = {"pid": pid, "uid": process.uid_text, "file": {"path": path}}
            seen["actor"]["process"] = {"pid": pid, "file": {"path": path}, "cmd_line": cmd_line}
    return seen


def _owners(inodes: set[int]) -> dict[int, int]:
    """Find which process holds each socket, looking no further than needed."""
    found: dict[int, int] = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    # New sockets mostly belong to young processes.
    for pid in sorted(_proc.pids(), reverse=True) if wanted else ():
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)  # noqa: PTH208  the hot way
        except OSError:
            continue
        for name in names:
            try:
                inode = wanted.get(os.readlink(f"{folder}/{name}"))  # noqa: PTH115  the hot way
            except OSError:
                continue
            if inode is not None:
                found.setdefault(inode, pid)
        if len(found) == len(wanted):
            break
    return found
