"""Know the processes that run: who started whom, told once each, bounded by what runs.

Their command lines together hold 8 MB at most: over it, what is kept of a further one for its end
and its children is its beginning. Its start is told whole before.
"""

import os
from collections import OrderedDict
from typing import Any, Final

from agent.collect import Event
from agent.collect._shape import event, shown
from agent.collect.linux import _proc
from agent.collect.linux._hashes import Hashes
from agent.collect.linux._kernel import Exec, Exit
from agent.collect.linux._proc import NOBODY, Process
from agent.collect.linux._recent import RECENT

_LAUNCH, _TERMINATE = 1, 2
_LONGEST_ANCESTRY: Final = 200
_MOST_PATHS: Final = 2048
MOST_ARGV: Final = 8 << 20
MOST_A_SCAN: Final = 2000
_LEAST_ARGV: Final = 128
"""Bytes kept of a command line when all together hold more than `MOST_ARGV`."""


class Table:
    """The processes by pid. `told`: those that an event has told of, by their lasting name."""

    def __init__(self, told: set[str]) -> None:
        """Begin with what was told before a restart."""
        self._live: dict[int, Process] = {}
        self._argv_bytes = 0
        self._told = told
        self._hashes = Hashes()
        self._paths: OrderedDict[tuple[int, int], str] = OrderedDict()
        self.is_behind = False
        self.without_command = 0
        """Starts whose command line was gone, since somebody last looked."""

    def told(self) -> list[str]:
        """Give the lasting names of the live processes that were told, for the notes."""
        return sorted(p.uid_text for p in self._live.values() if p.uid_text in self._told)

    def scan(self, now_us: int) -> list[Event]:
        """Compare with /proc: tell what runs untold, and what is gone unheard.

        At most 2,000 starts: `is_behind` says that there are more, for the next scan.
        """
        boot_us, events = _proc.boot_us(), list[Event]()
        self.is_behind = False
        alive = set(_proc.pids())
        for pid in alive - set(self._live):
            found = _proc.read(pid)
            if found is not None:
                self._hold(found)
        for pid in sorted(alive & set(self._live)):
            process = self._live[pid]
            if process.uid_text in self._told:
                continue
            if len(events) >= MOST_A_SCAN:
                self.is_behind = True
                break
            started_us = boot_us + process.start_ticks * _proc.TICK_US
            events.append(self._launch(_whole(process), min(started_us, now_us), "scan"))
        gone = [self._exit(pid, now_us, None) for pid in set(self._live) - alive]
        left = {p.uid_text for p in self._live.values()}
        events += [
            event(
                1007, _TERMINATE, now_us, {"process": {"uid": uid, "pid": int(uid.split("-")[1])}}
            )
            for uid in sorted(self._told - left)
        ]
        self._told &= left
        return events + [e for e in gone if e is not None]

    def started(self, seen: Exec, provider: str) -> Event:
        """Take a start in; what the source did not say is read from /proc at once."""
        if seen.ppid is None:
            process = _proc.read(seen.pid) or Process(seen.pid, 0, 0, path=seen.called)
        else:
            process = Process(
                seen.pid, seen.ppid, seen.start_ticks, argv=seen.argv, uid=seen.uid,
                login_uid=seen.login_uid, path=self._path(seen), inode=seen.inode[1],
                argv_bytes=seen.argv_bytes,
            )  # fmt: skip
            try:
                process.cwd = os.readlink(f"/proc/{seen.pid}/cwd")  # noqa: PTH115  the hot way
            except OSError:
                process.cwd = ""
        if process.argv is None:
            self.without_command += 1
        launch = self._launch(process, seen.time_us, provider)
        self._hold(process)
        RECENT.remember(process)
        return launch

    def ended(self, seen: Exit) -> Event | None:
        """Take an end in; None for a process of which nobody was told."""
        return self._exit(seen.pid, seen.time_us, seen.code)

    def _path(self, seen: Exec) -> str:
        """Find the program: by inode, as the process says, or as it was called."""
        known = self._paths.get(seen.inode)
        if known is not None and _inode(known) == seen.inode:
            return known
        path = _proc.exe(seen.pid)
        if not path:
            path = os.path.realpath(seen.called) if seen.called.startswith("/") else seen.called
        if _inode(path) == seen.inode:
            self._paths[seen.inode] = path
            if len(self._paths) > _MOST_PATHS:
                self._paths.popitem(last=False)
            return path
        return path or seen.called

    def _parent(self, process: Process) -> Process | None:
        parent = self._live.get(process.ppid)
        if parent is None and process.ppid > 0:
            parent = _proc.read(process.ppid)
            if parent is not None:
                self._hold(parent)
        return parent

    def _hold(self, process: Process) -> None:
        """Know it from now on, with as much of its command line as there is room for."""
        self._let_go(process.pid)
        argv = process.argv or b""
        if self._argv_bytes + len(argv) > MOST_ARGV and len(argv) > _LEAST_ARGV:
            process.argv_bytes = process.argv_bytes or len(argv)
            process.argv = argv = argv[:_LEAST_ARGV]
        self._argv_bytes += len(argv)
        self._live[process.pid] = process

    def _let_go(self, pid: int) -> Process | None:
        process = self._live.pop(pid, None)
        if process is not None:
            self._argv_bytes -= len(process.argv or b"")
        return process

    def _launch(self, process: Process, time_us: int, provider: str) -> Event:
        self._told.add(process.uid_text)
        process.hashes = process.hashes or self._hash(process)
        parent = self._parent(process)
        what = _described(process)
        what["file"]["hashes"] = process.hashes or None
        what["working_directory"] = shown(process.cwd) or None
        more: dict[str, Any] = {
            "process": what,
            "actor": {"user": {"name": _proc.user_name(process.uid), "uid": str(process.uid)}},
            "found_by": provider,
        }
        if parent is not None:
            what["parent_process"] = _described(parent)
            more["ancestry"] = process.ancestry = self._ancestry(parent)
        if process.login_uid != NOBODY:
            more["login_user"] = _proc.user_name(process.login_uid)
        if process.argv_bytes > len(process.argv or b""):
            more["cmd_line_bytes"] = process.argv_bytes
        process.cwd = ""  # told once: nobody asks for it again
        return event(1007, _LAUNCH, time_us, more)

    def _hash(self, process: Process) -> str:
        """Hash the program itself: at its path there may be another file by now, or for us.

        Of one that has ended the path is all there is; another inode there is another program.
        """
        own, path = f"/proc/{process.pid}/exe", process.path
        if (process.inode and _inode(own)[1] == process.inode) or _proc.exe(process.pid) == path:
            return self._hashes.of(own)
        is_it = path.startswith("/") and process.inode in {0, _inode(path)[1]}
        return self._hashes.of(path) if is_it else ""

    def _ancestry(self, parent: Process) -> str:
        """Name the line of parents, the nearest first: `bash < sshd < systemd`."""
        names, at = list[str](), parent
        for _ in range(8):
            names.append(os.path.basename(at.path))  # noqa: PTH119  the hot way
            above = self._live.get(at.ppid)
            if above is None or above is at:
                break
            at = above
        return shown(" < ".join(names))[:_LONGEST_ANCESTRY]

    def _exit(self, pid: int, time_us: int, code: int | None) -> Event | None:
        process = self._let_go(pid)
        if process is None or process.uid_text not in self._told:
            return None
        self._told.discard(process.uid_text)
        more: dict[str, Any] = {"process": _described(process)}
        more["actor"] = {"user": {"name": _proc.user_name(process.uid)}}
        if code is not None:
            more["exit_code"] = code >> 8 if code & 0x7F == 0 else -(code & 0x7F)
        return event(1007, _TERMINATE, time_us, more)


def _described(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "uid": process.uid_text,
        "file": {"path": shown(process.path) or None},
        "cmd_line": process.cmd_line,
    }


def _whole(process: Process) -> Process:
    """Read again what was kept in part only, for it to be told whole."""
    argv = process.argv or b""
    if process.argv_bytes <= len(argv) or len(argv) == _proc.ARGS_MOST:
        return process
    again = _proc.read(process.pid)
    return again if again is not None and again.start_ticks == process.start_ticks else process


def _inode(path: str) -> tuple[int, int]:
    try:
        told = os.stat(path)  # noqa: PTH116  the hot way
    except OSError:
        return (-1, -1)
    return told.st_dev, told.st_ino
