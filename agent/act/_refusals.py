"""Refuse starts of blocked programs: only those files are asked about that are known to be one.

Where fanotify asks (FAN_OPEN_EXEC_PERM), whoever starts a program waits for this process. So single
files are marked for it, never a file system: if this process hangs or is stopped, only starts of
blocked programs wait; if it ends, the kernel lets them through.
"""

import os
import subprocess
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from agent.act._fanotify import OPEN_EXEC_PERM, Group
from agent.act._programs import Place, Programs, far, root
from agent.act._spared import Spared

MOST: Final = 10_000
"""Files noted as refused. The oldest go first: their marks stay, and the kernel bounds those."""
AGAIN_S: Final = 5.0


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
        self._sizes: dict[str, int] = {}
        self.blocked: frozenset[str] = frozenset()

    def places(self) -> list[Refused]:
        """Give the files whose starts are refused."""
        with self._lock:
            return list(self._places.values())

    def sizes(self) -> dict[str, int]:
        """Give the size of each blocked program of which a copy was seen."""
        return dict(self._sizes)

    def refuse(self, handle: int, place: Place, sha256: str) -> bool:
        """Refuse starts of this open file from now on; False if the kernel or we cannot.

        What another program or machine answers for is not asked about: it could hang us. What the
        host cannot do without is not either.
        """
        if self._spared.has(place, sha256):
            return False
        with self._lock:
            if place[0] in far():
                return False
            # Also where it is noted: with a file that was deleted its mark went, its number stays.
            if not self._group.mark(handle, OPEN_EXEC_PERM):
                return False
            size = os.fstat(handle).st_size
            self._places[place] = Refused(path_of(handle), sha256, size)
            self._sizes[sha256] = size
            while len(self._places) > MOST:
                del self._places[next(iter(self._places))]
        return True

    def keep_only(self, blocked: frozenset[str]) -> None:
        """Refuse these hashes only; no other file stays marked."""
        self.blocked = blocked
        with self._lock:
            self._sizes = {sha256: n for sha256, n in self._sizes.items() if sha256 in blocked}
            if all(one.sha256 in blocked for one in self._places.values()):
                return
            before, self._places = self._places, {}
            self._group.unmark_files()
        words = ([(p, one) for p, one in before.items() if one.sha256 in blocked],)
        marking = threading.Thread(target=self._all_again, args=words, daemon=True)
        marking.start()
        marking.join(AGAIN_S)  # on the way there may be one by now whose answer never comes

    def _all_again(self, places: list[tuple[Place, Refused]]) -> None:
        for place, one in places:
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
            # Another size, another program: not read, so that nobody has others wait for that.
            told = os.fstat(handle)
            place = told.st_dev, told.st_ino
            if told.st_size in list(self._sizes.values()):
                sha256 = self._programs.of(handle)[1]
            is_refused = sha256 in self.blocked and not self._spared.has(place, sha256)
            if not is_refused:
                with self._lock:
                    self._places.pop(place, None)
                    self._group.unmark(handle, OPEN_EXEC_PERM)
        finally:
            self._group.answer(handle, is_allowed=not is_refused)
        if is_refused:
            self._seen("refused", pid, path_of(handle), sha256)


def path_of(handle: int) -> str:
    """Give the path of an open file as text that is UTF-8: a name on a disk is bytes."""
    path = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115  bytes as they are
    return path.encode("utf-8", "backslashreplace").decode()
