"""See connections open and close, and ports listen, with the process that holds them.

Asked of the kernel every two seconds, less often where a look takes long; what opened and closed in
between is told by the kernel as it ends (without its process: nobody holds it any more). What
closed while the agent was off is told at its next start. The opener is `src_endpoint`.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from agent.collect import Event, Notes, Out
from agent.collect._community import community_id
from agent.collect._shape import agent_event, event, now_us, shown
from agent.collect.linux import _proc
from agent.collect.linux._gap import gap, heard
from agent.collect.linux._sockdiag import (
    HERE_PORT,
    INODE,
    STATES,
    THERE_PORT,
    Endings,
    Raw,
    raw_sockets,
    sock_of,
)
from agent.collect.linux._sockets import MOST, MOST_OF_ONE, Held, Sockets, key_of, listens

NAME: Final = "connections"
EVERY_S: Final = 2.0
NOTE_EVERY_S: Final = 60.0
RESTS: Final = 20
"""A look that takes a second of the processor comes once in so many."""
SOON_S: Final = 0.25
"""Pause where more ends wait: what is taken at once fills the memory before the disk has it."""
MOST_GONE: Final = 20_000
_OPEN, _CLOSE, _LISTENS = 1, 2, 7
_NO_PORT: Final = bytes(2)


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Tell connections until told to stop. Option `every_s`: pause between two looks."""
    try:
        endings: Endings | None = Endings()
    except OSError as wrong:
        endings = None
        text = f"connections shorter than the pause between two looks are not seen: {wrong}"
        out.put([agent_event("source_limited", now_us(), text, collector=NAME)])
    known = Known(out.notes)
    out.put(gap(out.notes, NAME, now_us()))
    try:
        _follow(known, endings, out, stop, float(options.get("every_s", EVERY_S)))
    finally:
        if endings:
            endings.close()
    out.put([], known.notes(now_us()))


def _follow(
    known: "Known", endings: Endings | None, out: Out, stop: threading.Event, every_s: float
) -> None:
    noted_s = due_s = -1e9
    while not stop.is_set():
        ended = endings.read() if endings else []
        began_s = time.monotonic()
        if began_s >= due_s:
            used_s = time.thread_time()
            events = known.compare(raw_sockets(), ended, now_us())
            due_s = began_s + (time.thread_time() - used_s) * RESTS
        else:
            events = known.ended(ended, now_us())
        if endings and endings.missed_since_us:
            events.append(_overrun(endings))
        is_noted = began_s - noted_s > NOTE_EVERY_S
        noted_s = began_s if is_noted else noted_s
        if events or is_noted:
            out.put(events, known.notes(now_us()) if is_noted else None)
        stop.wait(SOON_S if endings and endings.has_more else every_s)


def _overrun(endings: Endings) -> Event:
    since_us, endings.missed_since_us = endings.missed_since_us, 0
    text = "the kernel had no room for ends of connections; short ones are missing"
    at_us = now_us()
    more = {"start_time_us": since_us, "end_time_us": at_us, "collector": NAME}
    return agent_event("kernel_overrun", at_us, text, **more)


class Known:
    """The sockets that were told of, and what is to be told of others."""

    def __init__(self, notes: Notes) -> None:
        """Begin with what was told before a restart; a boot has closed all of it."""
        is_same = notes.get("boot") == _proc.boot_mark()
        self._sockets = Sockets(notes.get("sockets", "") if is_same else "")
        self._ports: set[tuple[str, bytes]] = set()
        # A look may see that a socket has gone long before the kernel says that it has ended.
        self._gone: dict[bytes, None] = {}
        self._quiet_until_us = 0

    def notes(self, at_us: int) -> Notes:
        """Give what is to be kept for the next start."""
        return {"sockets": self._sockets.noted(), **heard(at_us)}

    def compare(self, now: Iterable[Raw], ended: list[Raw], at_us: int) -> list[Event]:
        """Give what opened, what closed, and what did both in between."""
        new, gone, self._ports = self._sockets.compare(now)
        owners = _Owners(new)
        events = []
        for raw in new:
            held = Held(*raw, self._is_inbound(raw))
            seen = _seen(held)
            pid = owners.pid_of(raw)
            if pid is not None and (whose := owners.described(pid)) is not None:
                held.owner = whose["process"]
                seen["process"] = whose["process"]
                seen["actor"]["process"] = whose["actor"]
            self._sockets.keep(raw, held)
            events.append(event(4001, _LISTENS if listens(raw) else _OPEN, at_us, seen))
        self._gone |= dict.fromkeys(key_of((one.proto, one.body)) for one in gone)
        events += self.ended(ended, at_us)
        events += [_closed(one, at_us) for one in gone]
        return events + self._over(at_us)

    def ended(self, ended: list[Raw], at_us: int) -> list[Event]:
        """Give what opened and closed between two looks."""
        events = []
        for raw in ended:
            key = key_of(raw)
            if raw[1][THERE_PORT] == _NO_PORT or self._sockets.is_known(raw):
                continue
            if key in self._gone:
                del self._gone[key]
                continue
            held = Held(*raw, self._is_inbound(raw))
            events.append(event(4001, _OPEN, at_us, _seen(held)))
            events.append(_closed(held, at_us))
        for key in list(self._gone)[: max(0, len(self._gone) - MOST_GONE)]:
            del self._gone[key]
        return events

    def _is_inbound(self, raw: Raw) -> bool:
        return raw[1][THERE_PORT] != _NO_PORT and (raw[0], raw[1][HERE_PORT]) in self._ports

    def _over(self, at_us: int) -> list[Event]:
        """Say once an hour that there are more sockets than are followed."""
        over = self._sockets.over
        if not over or at_us < self._quiet_until_us:
            return []
        self._quiet_until_us = at_us + 3_600_000_000
        text = f"{over} sockets over the {MOST} that are followed ({MOST_OF_ONE} of one account): "
        text += "those of TCP are told as they end, without process"
        more = {"record_count": over, "collector": NAME}
        return [agent_event("source_limited", at_us, text, **more)]


def _closed(held: Held, at_us: int) -> Event:
    seen = _seen(held)
    if held.owner is not None:
        seen["process"] = held.owner
        seen["actor"]["process"] = {"pid": held.owner["pid"], "file": held.owner["file"]}
    return event(4001, _CLOSE, at_us, seen)


def _seen(held: Held) -> Event:
    sock = sock_of(held.proto, held.body)
    here, there = (sock.here, sock.here_port), (sock.there, sock.there_port)
    source, target = (there, here) if held.is_inbound else (here, there)
    seen: Event = {
        "src_endpoint": {"ip": source[0], "port": source[1]},
        "connection_info": {"protocol_name": sock.proto, "state": STATES.get(sock.state)},
        "actor": {"user": {"name": _proc.user_name(sock.uid), "uid": str(sock.uid)}},
    }
    if sock.there_port:
        seen["dst_endpoint"] = {"ip": target[0], "port": target[1]}
        seen["connection_info"]["direction"] = "inbound" if held.is_inbound else "outbound"
        seen["connection_info"]["community_uid"] = community_id(sock.proto, here, there)
    return seen


class _Owners:
    """Whose the new sockets of one look are; each process is read once."""

    def __init__(self, new: list[Raw]) -> None:
        inodes = {_inode(raw) for raw in new} - {0}
        self._pids = _owners(inodes)
        self._described: dict[int, Event | None] = {}

    def pid_of(self, raw: Raw) -> int | None:
        return self._pids.get(_inode(raw))

    def described(self, pid: int) -> Event | None:
        if pid not in self._described:
            process, told = _proc.read(pid), None
            if process is not None:
                file = {"path": shown(process.path) or None}
                told = {
                    "process": {"pid": pid, "uid": process.uid_text, "file": file},
                    "actor": {"pid": pid, "file": file, "cmd_line": process.cmd_line},
                }
            self._described[pid] = told
        return self._described[pid]


def _inode(raw: Raw) -> int:
    return int.from_bytes(raw[1][INODE], sys.byteorder)


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
