"""Hear of programs as they are opened to be run: end those that are blocked, refuse the next start.

fanotify tells of every start (FAN_OPEN_EXEC); it does not ask. Where it asks, every start on the
host waits for this process: stopped or hung it would stop the host. So the first start of a copy is
ended, most often within milliseconds, and the copy is known from then on: see `_refusals`.
"""

import contextlib
import os
import signal
import struct
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from agent.act._fanotify import ASKS, OPEN_EXEC, OPEN_EXEC_PERM, OVERFLOW, Group
from agent.act._programs import Place, Programs, roots
from agent.act._refusals import Refusals
from agent.act._spared import Spared
from agent.voice import tell

AGAIN_S: Final = 5.0
BECOMES_S: Final = 0.5
_SOON_MS: Final = 1
"""Between the opening of a program and its start the process is still the one before."""
_MOST_WAITING: Final = 512


class Execs:
    """Watch in a thread of its own until closed. `blocked` may be changed at any time."""

    def __init__(
        self,
        programs: Programs,
        spared: frozenset[int],
        seen: Callable[[str, int, str, str], None],
    ) -> None:
        """Open the group and mark every file system; OSError without CAP_SYS_ADMIN.

        `seen` is told of each start that was ended or refused.
        """
        # One group for both: of two, the kernel would end this process only when the second let go
        # those whom the first kept waiting, and so never.
        self._group, self._programs, self._spared = Group(ASKS), programs, spared
        self._needed = Spared(programs, spared)
        self.refusals, self._seen = Refusals(self._group, programs, self._needed, seen), seen
        self._stop = threading.Event()
        self.blocked: frozenset[str] = frozenset()
        self.ended = 0
        self._waiting: dict[tuple[int, Place], tuple[float, str, str]] = {}
        if not self._mark():
            self._group.close()
            raise OSError("no file system could be marked")
        self._thread = threading.Thread(target=self._watch, name="execs", daemon=True)
        self._thread.start()

    def _mark(self) -> int:
        """Mark every file system, also those that came since; give how many are marked."""
        return sum(self._group.mark_file_system(root, OPEN_EXEC) for root in roots())

    @property
    def is_alive(self) -> bool:
        """Answer whether it still watches."""
        return self._thread.is_alive()

    def _watch(self) -> None:
        marked_s = time.monotonic()
        while not self._stop.is_set():
            # What cannot be opened or read says nothing, and ends no watch.
            with contextlib.suppress(OSError, ValueError, struct.error):
                self._round(list(self._group.heard(_SOON_MS if self._waiting else 500)))
            if time.monotonic() - marked_s > AGAIN_S:
                marked_s = time.monotonic()
                with contextlib.suppress(OSError, ValueError):
                    self._mark()

    def _round(self, heard: list[tuple[int, int, int]]) -> None:
        """Answer who waits, then look at what was only told of."""
        for mask, handle, pid in sorted(heard, key=lambda one: not one[0] & OPEN_EXEC_PERM):
            try:
                if mask & OPEN_EXEC_PERM:
                    self.refusals.answer(handle, pid)
                else:
                    self._heard(mask, handle, pid)
            except Exception:  # noqa: BLE001  the agent's loop: no start may end it, or wait for it
                tell(f"a start could not be judged: {traceback.format_exc(limit=3)}")
            finally:
                if handle >= 0:
                    os.close(handle)
        self._look_again()

    def _look_again(self) -> None:
        """Look at those that were not yet what they opened; none keeps others waiting."""
        now_s = time.monotonic()
        for (pid, place), (end_s, path, sha256) in list(self._waiting.items()):
            is_ended = self._end(pid, place)
            if is_ended:
                self._count(pid, path, sha256)
            if is_ended is not False or now_s > end_s:
                del self._waiting[pid, place]

    def _count(self, pid: int, path: str, sha256: str) -> None:
        self.ended += 1
        self._seen("ended", pid, path, sha256)

    def _heard(self, mask: int, handle: int, pid: int) -> None:
        if mask & OVERFLOW:
            self.end_running()
        if handle < 0:
            return
        with contextlib.suppress(OSError):  # gone meanwhile
            place, sha256 = self._programs.of(handle)
            if sha256 in self.blocked and not self._needed.has(place, sha256):
                self.refusals.refuse(handle, place, sha256)
                if len(self._waiting) >= _MOST_WAITING:
                    del self._waiting[next(iter(self._waiting))]
                path = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115  a text
                self._waiting[pid, place] = time.monotonic() + BECOMES_S, path, sha256

    def _end(self, pid: int, place: Place) -> bool | None:
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
        """End what runs a blocked program already, and refuse it; give how many."""
        before = self.ended
        for pid, digest in self._programs.running().items():
            if digest in self.blocked and pid not in self._spared:
                with contextlib.suppress(OSError):
                    self._end_one(pid, digest)
        return self.ended - before

    def _end_one(self, pid: int, sha256: str) -> None:
        handle = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
        try:
            place, found = self._programs.of(handle)
            if found != sha256 or self._needed.has(place, sha256):
                return
            # First refused, then ended: what starts it again at once does not get through.
            self.refusals.refuse(handle, place, sha256)
            path = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115  a text
        finally:
            os.close(handle)
        if self._end(pid, place):
            self._count(pid, path, sha256)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(5)
        self._group.close()
