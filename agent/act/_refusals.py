"""Refuse starts of blocked programs: only those files are asked about that are known to be one.

Where fanotify asks (FAN_OPEN_EXEC_PERM), whoever starts a program waits for this process. So single
files are marked for it, never a file system: if this process hangs or is stopped, only starts of
blocked programs wait; if it ends, the kernel lets them through.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from agent.act._fanotify import OPEN_EXEC_PERM, Group
from agent.act._programs import Place, Programs, far, root
from agent.act._spared import Spared

MOST: Final = 10_000
"""Files that are refused; further copies are ended as they start."""
TIDY_S: Final = 60.0


class Refused(NamedTuple):
    """A file whose starts are refused, as it was found."""

    path: str
    sha256: str
    size: int


def _ignore(_how: str, _pid: int, _path: str, _sha256: str) -> None:
    """Tell nobody."""


class Refusals:
    """The marks that ask, in a group that others read. Nothing is refused that is not `blocked`."""

    def __init__(
        self,
        group: Group,
        programs: Programs,
        spared: Spared,
        seen: Callable[[str, int, str, str], None] = _ignore,
    ) -> None:
        """Refuse nothing yet. `spared`: never refused; `seen` is told of each refusal."""
        self._group, self._programs, self._seen = group, programs, seen
        self._spared = spared
        # With vfork, who starts a program holds Python still until the start is answered: here.
        subprocess._USE_VFORK = False  # type: ignore[misc]  # its manual says so, its types do not
        self._lock = threading.Lock()
        self._places: dict[Place, Refused] = {}
        self._tidy_s = 0.0
        self.blocked: frozenset[str] = frozenset()

    def places(self) -> list[Refused]:
        """Give the files whose starts are refused."""
        with self._lock:
            return list(self._places.values())

    def sizes(self) -> dict[str, int]:
        """Give the size of each blocked program of which a copy was seen."""
        return {one.sha256: one.size for one in self.places()}

    def refuse(self, handle: int, place: Place, sha256: str) -> bool:
        """Refuse starts of this open file from now on; False if the kernel or we cannot.

        What another program or machine answers for is not asked about: it could hang us. What the
        host cannot do without is not either.
        """
        if self._spared.has(place, sha256):
            return False
        with self._lock:
            if place[0] in far() or (place not in self._places and not self._has_room()):
                return False
            # Also where it is noted: with a file that was deleted its mark went, its number stays.
            if not self._group.mark(handle, OPEN_EXEC_PERM):
                return False
            self._places[place] = Refused(_path_of(handle), sha256, os.fstat(handle).st_size)
        return True

    def _has_room(self) -> bool:
        """Answer whether one more may be marked; the marks of files that have gone are free."""
        if len(self._places) < MOST:
            return True
        now_s = time.monotonic()
        if now_s > self._tidy_s:
            self._tidy_s = now_s + TIDY_S
            self._places = {p: one for p, one in self._places.items() if _is_there(p, one)}
        return len(self._places) < MOST

    def keep_only(self, blocked: frozenset[str]) -> None:
        """Refuse these hashes only; no other file stays marked."""
        self.blocked = blocked
        with self._lock:
            if all(one.sha256 in blocked for one in self._places.values()):
                return
            before, self._places = self._places, {}
            self._group.unmark_files()
        for place, one in before.items():
            if one.sha256 in blocked:
                self._again(place, one)

    def _again(self, place: Place, one: Refused) -> None:
        """Mark a file anew by its path; one that has moved is marked at its next start."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(root() + one.path, flags)
        except OSError:
            return
        try:
            if self._programs.of(handle) == (place, one.sha256):
                self.refuse(handle, place, one.sha256)
        except OSError:
            return
        finally:
            os.close(handle)

    def answer(self, handle: int, pid: int) -> None:
        """Answer a question: refuse it, or let it through and ask about this file no more."""
        is_refused, sha256 = False, ""
        try:
            place, sha256 = self._programs.of(handle)
            is_refused = sha256 in self.blocked and not self._spared.has(place, sha256)
            if not is_refused:
                with self._lock:
                    self._places.pop(place, None)
                    self._group.unmark(handle, OPEN_EXEC_PERM)
        finally:
            self._group.answer(handle, is_allowed=not is_refused)
        if is_refused:
            self._seen("refused", pid, _path_of(handle), sha256)


def _is_there(place: Place, one: Refused) -> bool:
    """Answer whether the file lies where it was; one that moved is marked at its next start."""
    try:
        told = os.lstat(root() + one.path)
    except OSError:
        return False
    return (told.st_dev, told.st_ino) == place


def _path_of(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115  a text, whatever it has
