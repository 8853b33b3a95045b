"""Hear of programs as they are opened to be run, and end those whose hash is blocked.

fanotify tells (FAN_OPEN_EXEC); it does not ask (FAN_OPEN_EXEC_PERM). Where it asks, every start on
the host waits for this process: stopped or hung it would stop the host. So a blocked program is not
kept from starting: it is ended, most often within milliseconds of its start.
"""

import contextlib
import ctypes
import hashlib
import os
import re
import select
import signal
import stat
import struct
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

from agent.collect.linux import _proc

OPEN_EXEC, OVERFLOW = 0x1000, 0x4000
_MARK_ADD, _MARK_FILESYSTEM, _AT_FDCWD = 0x1, 0x100, -100
_CLOEXEC, _NONBLOCK = 0x1, 0x2
_EVENT: Final = struct.Struct("=IBBHQii")
_NO_PROGRAMS: Final = frozenset(
    {
        *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs"),
        *("tracefs", "bpf", "pstore", "configfs", "fusectl", "hugetlbfs", "binfmt_misc"),
        *("autofs", "nsfs", "rpc_pipefs", "efivarfs"),
    }
)
LARGEST: Final = 64 << 20
AGAIN_S: Final = 5.0
BECOMES_S: Final = 0.5
_SOON_MS: Final = 1
"""Between the opening of a program and its start the process is still the one before."""
_MOST: Final = 4096
_BITE: Final = 256 << 10
_MOST_WAITING: Final = 512
_ESCAPED: Final = re.compile(rb"\\([0-3][0-7]{2})")
Key = tuple[int, int, int, int, int]


def roots(mounts: Path = Path("/proc/self/mountinfo")) -> list[bytes]:
    """Give a mount point of every file system that may have programs: bytes, whatever its name."""
    found: dict[bytes, bytes] = {}
    for line in mounts.read_bytes().splitlines():
        first, _, rest = line.partition(b" - ")
        words, kind = first.split(b" "), rest.split(b" ")[0].decode("ascii", "replace")
        if len(words) > 4 and kind not in _NO_PROGRAMS:
            found.setdefault(words[2], _ESCAPED.sub(lambda m: bytes([int(m[1], 8)]), words[4]))
    return list(found.values())


class Programs:
    """Hashes of programs, kept by what cannot be set back."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[Key, str] = OrderedDict()

    def of(self, handle: int) -> tuple[tuple[int, int], str]:
        """Give (device, inode) and the SHA-256 of an open file, '' if it is over 64 MiB."""
        told = os.fstat(handle)
        key = (told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size)
        found = self._known.get(key)
        if found is None:
            is_read = stat.S_ISREG(told.st_mode) and told.st_size <= LARGEST
            found = self._known[key] = _digest(handle, told.st_size) if is_read else ""
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return (told.st_dev, told.st_ino), found

    def running(self) -> dict[int, str]:
        """Give the hash of the program of every process."""
        found = {}
        for pid in _proc.pids():
            with contextlib.suppress(OSError):
                handle = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    found[pid] = self.of(handle)[1]
                finally:
                    os.close(handle)
        return found


def _digest(handle: int, size: int) -> str:
    digest, at = hashlib.sha256(), 0
    while at < size and (piece := os.pread(handle, _BITE, at)):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


class Execs:
    """Watch in a thread of its own until closed. `blocked` may be changed at any time."""

    def __init__(self, programs: Programs, spared: frozenset[int]) -> None:
        """Open the group and mark every file system; OSError without CAP_SYS_ADMIN."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._library.fanotify_mark.argtypes = [
            ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
        ]  # fmt: skip
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_LARGEFILE
        self._handle = self._library.fanotify_init(_CLOEXEC | _NONBLOCK, flags)
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")
        self._programs, self._spared = programs, spared
        self._stop = threading.Event()
        self.blocked: frozenset[str] = frozenset()
        self.ended = 0
        self._waiting: dict[tuple[int, tuple[int, int]], float] = {}
        if not self._mark():
            os.close(self._handle)
            raise OSError(ctypes.get_errno(), "no file system could be marked")
        self._thread = threading.Thread(target=self._watch, name="execs", daemon=True)
        self._thread.start()

    def _mark(self) -> int:
        """Mark every file system, also those that came since; give how many are marked."""
        flags = _MARK_ADD | _MARK_FILESYSTEM
        words = [(self._handle, flags, OPEN_EXEC, _AT_FDCWD, r) for r in roots()]
        return sum(self._library.fanotify_mark(*w) == 0 for w in words)

    @property
    def is_alive(self) -> bool:
        """Answer whether it still watches."""
        return self._thread.is_alive()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        marked_s = time.monotonic()
        while not self._stop.is_set():
            # What cannot be opened or read says nothing, and ends no watch.
            with contextlib.suppress(OSError, ValueError, struct.error):
                if poll.poll(_SOON_MS if self._waiting else 500):
                    self._heard(os.read(self._handle, 1 << 14))
                self._look_again()
            if time.monotonic() - marked_s > AGAIN_S:
                marked_s = time.monotonic()
                with contextlib.suppress(OSError, ValueError):
                    self._mark()

    def _look_again(self) -> None:
        """Look at those that were not yet what they opened; none keeps others waiting."""
        now_s = time.monotonic()
        for (pid, place), end_s in list(self._waiting.items()):
            is_ended = self._end(pid, place)
            self.ended += bool(is_ended)
            if is_ended is not False or now_s > end_s:
                del self._waiting[pid, place]

    def _heard(self, data: bytes) -> None:
        at = 0
        while at + _EVENT.size <= len(data):
            size, _, _, _, mask, handle, pid = _EVENT.unpack_from(data, at)
            at += size
            if mask & OVERFLOW:
                self.end_running()
            if handle < 0:
                continue
            try:
                place, digest = self._programs.of(handle)
                if digest in self.blocked:
                    if len(self._waiting) >= _MOST_WAITING:
                        del self._waiting[next(iter(self._waiting))]
                    self._waiting[pid, place] = time.monotonic() + BECOMES_S
            except OSError:  # gone meanwhile
                continue
            finally:
                os.close(handle)

    def _end(self, pid: int, place: tuple[int, int]) -> bool | None:
        """End the process if it runs that program; None if it is not to be looked at again.

        What it was before is not ended: until it is that program the answer is False.
        """
        if pid in self._spared:
            return None
        try:
            held = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            told = os.stat(f"/proc/{pid}/exe")  # noqa: PTH116  the hot way
            if (told.st_dev, told.st_ino) != place:
                return False
            signal.pidfd_send_signal(held, signal.SIGKILL)
        except OSError:
            return None
        else:
            return True
        finally:
            os.close(held)

    def end_running(self) -> int:
        """End what runs a blocked program already; give how many."""
        count = 0
        for pid, digest in self._programs.running().items():
            if digest in self.blocked and pid not in self._spared:
                with contextlib.suppress(OSError):
                    told = os.stat(f"/proc/{pid}/exe")  # noqa: PTH116  the hot way
                    count += bool(self._end(pid, (told.st_dev, told.st_ino)))
        self.ended += count
        return count

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(5)
        os.close(self._handle)
