"""Hear of programs as they are opened to be run: end those that are blocked, refuse the next start.

fanotify tells of every start (FAN_OPEN_EXEC); it does not ask. Where it asks, every start on the
host waits for this process: stopped or hung it would stop the host. So the first start of a copy is
ended, most often within milliseconds, and the copy is known from then on: see `_refusals`. One
thread hears and answers, and reads no file that may be large; another judges what was told of.
"""

import contextlib
import errno
import os
import signal
import struct
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.act._fanotify import ASKS, OPEN_EXEC, OPEN_EXEC_PERM, OVERFLOW, Group
from agent.act._judge import Judge, Started
from agent.act._programs import Place, Programs, opened, root, roots
from agent.act._refusals import Refusals, path_of
from agent.act._spared import Spared
from agent.act._starts import Starts
from agent.voice import tell

AGAIN_S: Final = 5.0
BECOMES_S: Final = 0.5
HUNG_S: Final = 60.0
ALL_S: Final = 1.0
"""Between two looks at all that runs."""
_MOST_WAITING: Final = 512


class Execs:
    """Watch in threads of its own until closed. `blocked` may be changed at any time."""

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
        self._is_to_look_at_all, self._left_out, self._looked_s = False, 0, 0.0
        if not self._mark():
            self._group.close()
            raise OSError("no file system could be marked")
        self._at_s = time.monotonic()
        self._judge = Judge(self._judged, self._look_again)
        self._thread = threading.Thread(target=self._watch, name="execs", daemon=True)
        self._thread.start()
        self._starts: Starts | None = None
        try:
            self._starts = Starts(self.hear, self._look_at_all)
        except OSError as wrong:
            tell(f"starts in memory and on mounts of others' own are not heard of: {wrong}")

    def _mark(self) -> int:
        """Mark every file system, also those that came since; give how many are marked."""
        found = roots()
        if seen := root():
            # The first process may see more than a unit with places of its own does.
            found += [os.fsencode(seen) + point for point in roots(Path("/proc/1/mountinfo"))]
        return sum(self._group.mark_file_system(point, OPEN_EXEC) for point in found)

    @property
    def is_alive(self) -> bool:
        """Answer whether it still watches, and judges what it hears of."""
        last_s = min(self._at_s, self._judge.at_s)
        if self._starts is not None:
            last_s = min(last_s, self._starts.at_s)
        is_there = self._thread.is_alive() and self._judge.is_alive
        return is_there and time.monotonic() - last_s < HUNG_S

    @property
    def left_out(self) -> int:
        """Give how many starts were not looked at: too many came at once."""
        return self._judge.left_out

    def _watch(self) -> None:
        marked_s = time.monotonic()
        while not self._stop.is_set():
            self._at_s = time.monotonic()
            # What cannot be opened or read says nothing, and ends no watch.
            with contextlib.suppress(OSError, ValueError, struct.error):
                self._round(list(self._group.heard(500)))
            if time.monotonic() - marked_s > AGAIN_S:
                marked_s = time.monotonic()
                with contextlib.suppress(OSError, ValueError):
                    self._mark()

    def _round(self, heard: list[tuple[int, int, int]]) -> None:
        """Answer who waits, then pass on what was only told of."""
        for mask, handle, pid in sorted(heard, key=lambda one: not one[0] & OPEN_EXEC_PERM):
            if mask & OVERFLOW:
                self._look_at_all()
            if handle >= 0:
                self._one(mask, handle, pid)

    def _one(self, mask: int, handle: int, pid: int) -> None:
        try:
            if mask & OPEN_EXEC_PERM:
                self.refusals.answer(handle, pid)
            else:
                self.hear(handle, pid)
                return
        except Exception:  # noqa: BLE001  the agent's loop: no start may end it, or wait for it
            tell(f"a start could not be judged: {traceback.format_exc(limit=3)}")
        os.close(handle)

    def hear(self, handle: int, pid: int) -> None:
        """Have an open program judged that a process starts, and closed."""
        told = os.fstat(handle)
        if self._is_wanted(told):
            is_known = self._programs.knows(told)
            self._judge.put(Started(handle, pid, told.st_uid, told.st_size, is_known))
        else:
            os.close(handle)

    def _is_wanted(self, told: os.stat_result) -> bool:
        """Answer whether it may be one of the blocked: by its size, where that is known of all."""
        sizes = self.refusals.sizes()
        return any(one not in sizes for one in self.blocked) or told.st_size in sizes.values()

    def _look_again(self) -> bool:
        """Look at those that were not yet what they opened; answer whether there are any."""
        now_s = time.monotonic()
        is_behind = self._is_to_look_at_all or self._left_out != self._judge.left_out
        if is_behind and now_s - self._looked_s > ALL_S:
            self._looked_s = now_s
            self._is_to_look_at_all, self._left_out = False, self._judge.left_out
            self.end_running(self._judge.meanwhile)
        for (pid, place), (end_s, path, sha256) in list(self._waiting.items()):
            is_ended = self._end(pid, place)
            if is_ended:
                self._count(pid, path, sha256)
            if is_ended is not False or now_s > end_s:
                self._waiting.pop((pid, place), None)
        return bool(self._waiting)

    def _look_at_all(self) -> None:
        self._is_to_look_at_all = True

    def _count(self, pid: int, path: str, sha256: str) -> None:
        self.ended += 1
        self._seen("ended", pid, path, sha256)

    def _judged(self, one: Started, meanwhile: Callable[[int], None]) -> None:
        place, sha256 = self._programs.of(one.handle, meanwhile)
        if sha256 not in self.blocked or self._needed.has(place, sha256):
            return
        self.refusals.refuse(one.handle, place, sha256)
        if len(self._waiting) >= _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        path = path_of(one.handle)
        self._waiting[one.pid, place] = time.monotonic() + BECOMES_S, path, sha256
        self._look_again()

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
            program = opened(pid)
            told = os.fstat(program)
            os.close(program)
            if (told.st_dev, told.st_ino) != place:
                return False
            signal.pidfd_send_signal(held, signal.SIGKILL)
        except OSError as wrong:
            return False if wrong.errno == errno.EREMOTE else None
        else:
            return True
        finally:
            os.close(held)

    def end_running(self, meanwhile: Callable[[int], None] = lambda _: None) -> int:
        """End what runs a blocked program already, and refuse it; give how many."""
        before = self.ended
        for pid, digest in self._programs.running(self._is_wanted, meanwhile).items():
            if digest in self.blocked and pid not in self._spared:
                with contextlib.suppress(OSError):
                    self._end_one(pid, digest)
        return self.ended - before

    def _end_one(self, pid: int, sha256: str) -> None:
        handle = opened(pid)
        try:
            place, found = self._programs.of(handle)
            if found != sha256 or self._needed.has(place, sha256):
                return
            # First refused, then ended: what starts it again at once does not get through.
            self.refusals.refuse(handle, place, sha256)
            path = path_of(handle)
        finally:
            os.close(handle)
        if self._end(pid, place):
            self._count(pid, path, sha256)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._starts is not None:
            self._starts.close()
        self._judge.close()
        self._thread.join(5)
        self._group.close()
