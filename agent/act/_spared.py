"""Know the programs without which the host, or the agent's own undo, would not start any more.

The kernel opens the loader with every program: refused, it would stop every start on the host. By
hash and by inode, judged anew each time: an update may bring what was blocked before.
"""

import contextlib
import os
import pwd
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final

from agent.act import Refuses, _nft
from agent.act._programs import Place, Programs, root

PATHS: Final = (
    *("/bin/sh", "/bin/login", "/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"),
    *("/usr/libexec/openssh/sshd-session", "/usr/lib/systemd/systemd-executor"),
    *("/lib/systemd/systemd-executor", "/usr/bin/sudo", "/sbin/init"),
)
KEPT_S: Final = 1.0
_INTERPRETER: Final = 3
_MOST_HEADERS: Final = 64


class Spared:
    """What is never refused and never ended. `pids`: whose programs are among it."""

    def __init__(self, programs: Programs, pids: Iterable[int] = ()) -> None:
        """Look at nothing yet."""
        self._programs, self._pids = programs, tuple(pids)
        self._known: dict[Place, str] = {}
        self._until_s = 0.0

    def found(self) -> dict[Place, str]:
        """Give device and inode with the hash of each, as they are now."""
        known: dict[Place, str] = {}
        for path in self._paths():
            with contextlib.suppress(OSError):
                self._add(path, known)
        return known

    def has(self, place: Place, sha256: str) -> bool:
        """Answer whether this is one of them; what they are is kept for a second."""
        if time.monotonic() > self._until_s:
            self._known, self._until_s = self.found(), time.monotonic() + KEPT_S
        return place in self._known or sha256 in self._known.values()

    def _paths(self) -> Iterator[str]:
        yield from (f"/proc/{pid}/exe" for pid in (1, *self._pids))
        yield sys.executable
        with contextlib.suppress(Refuses):
            yield _nft.program()
        with contextlib.suppress(KeyError):
            yield pwd.getpwuid(0).pw_shell
        for path in PATHS:
            yield path
            yield root() + path

    def _add(self, path: str, known: dict[Place, str]) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            place, sha256 = self._programs.of(handle)
            if place in known:
                return
            known[place] = sha256 or "over 64 MiB"
            loader = interpreter(handle)
        finally:
            os.close(handle)
        if loader:
            with contextlib.suppress(OSError):
                self._add(loader, known)


def interpreter(handle: int) -> str:
    """Give the loader that an ELF program names (PT_INTERP), '' if it names none."""
    head = os.pread(handle, 64, 0)
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return ""
    order, is_wide = "<" if head[5] == 1 else ">", head[4] == 2
    (at,) = struct.unpack_from(order + ("Q" if is_wide else "I"), head, 32 if is_wide else 28)
    size, count = struct.unpack_from(order + "HH", head, 54 if is_wide else 42)
    for number in range(min(count, _MOST_HEADERS)):
        one = os.pread(handle, size, at + number * size)
        if len(one) < (40 if is_wide else 20):
            return ""
        if struct.unpack_from(order + "I", one)[0] == _INTERPRETER:
            words = (
                (order + "Q", 8, order + "Q", 32) if is_wide else (order + "I", 4, order + "I", 16)
            )
            (begin,) = struct.unpack_from(words[0], one, words[1])
            (length,) = struct.unpack_from(words[2], one, words[3])
            return os.fsdecode(os.pread(handle, min(length, 4096), begin).split(b"\0")[0])
    return ""
