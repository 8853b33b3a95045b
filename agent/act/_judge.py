"""Judge programs that were started, in a thread of its own: who waits for an answer waits for none.

Whoever starts many large files must not keep the others from being looked at: small ones come
first, then those of owners for whom little was read lately. While one is read, smaller ones come
in between.
"""

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

from agent.voice import tell

MOST: Final = 256
"""Starts that wait; of more the costliest are left out, and counted."""
_MOST_OWNERS: Final = 256
_FRACTION: Final = 8
"""How much smaller one must be than what is left of another to come in between."""
_HALVED_S: Final = 1.0
_REST_S: Final = 0.5


class Started(NamedTuple):
    """An open file that a process opened to run it."""

    handle: int
    pid: int
    owner: int
    size: int
    is_known: bool


class Spent:
    """Bytes that were read for each owner of files, by half less each second."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._owners: dict[int, tuple[float, float]] = {}

    def of(self, owner: int, now_s: float) -> float:
        """Give the bytes."""
        count, at_s = self._owners.get(owner, (0.0, now_s))
        return count * float(0.5 ** ((now_s - at_s) / _HALVED_S))

    def add(self, owner: int, count: int, now_s: float) -> None:
        """Note that so much was read."""
        now = self.of(owner, now_s) + count
        self._owners.pop(owner, None)
        self._owners[owner] = now, now_s
        if len(self._owners) > _MOST_OWNERS:
            del self._owners[next(iter(self._owners))]


class Judge:
    """The thread. `judge`: is given a start and what to call between two bites of reading.

    `between`: is called at least every half second, and each millisecond while it answers True.
    """

    def __init__(
        self,
        judge: Callable[[Started, Callable[[int], None]], None],
        between: Callable[[], bool],
    ) -> None:
        """Begin."""
        self._judge, self._between = judge, between
        self._waiting: list[Started] = []
        self._bell = threading.Condition()
        self._is_over = False
        self._spent = Spent()
        self.left_out = 0
        self.at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Answer whether it still judges."""
        return self._thread.is_alive()

    def put(self, one: Started) -> None:
        """Have it judged; the handle is closed afterwards."""
        with self._bell:
            self._waiting.append(one)
            if len(self._waiting) > MOST:
                dearest = max(self._waiting, key=self._cost)
                self._waiting.remove(dearest)
                os.close(dearest.handle)
                self.left_out += 1
            self._bell.notify()

    def _cost(self, one: Started) -> float:
        return 0.0 if one.is_known else one.size + self._spent.of(one.owner, time.monotonic())

    def _taken(self, wait_s: float, below: float) -> Started | None:
        with self._bell:
            if not self._waiting and wait_s:
                self._bell.wait(wait_s)
            found = [o for o in self._waiting if o.is_known or o.size < below]
            if not found or self._is_over:
                return None
            one = min(found, key=self._cost)
            self._waiting.remove(one)
            return one

    def _run(self) -> None:
        is_hurried = False
        while not self._is_over:
            self.at_s = time.monotonic()
            one = self._taken(0.001 if is_hurried else _REST_S, float("inf"))
            if one is not None:
                self._one(one)
            is_hurried = self._looked()

    def _looked(self) -> bool:
        try:
            return self._between()
        except Exception:  # noqa: BLE001  the agent's loop: no process may end it
            tell(f"processes could not be looked at: {traceback.format_exc(limit=3)}")
            return False

    def meanwhile(self, left: int) -> None:
        """Judge what is much smaller than what is left of the one that is being read."""
        self.at_s = time.monotonic()
        while (one := self._taken(0, left / _FRACTION)) is not None:
            self._one(one)

    def _one(self, one: Started) -> None:
        try:
            if not one.is_known:
                self._spent.add(one.owner, one.size, time.monotonic())
            with contextlib.suppress(OSError):  # gone meanwhile
                self._judge(one, self.meanwhile)
        except Exception:  # noqa: BLE001  the agent's loop: no start may end it
            tell(f"a start could not be judged: {traceback.format_exc(limit=3)}")
        finally:
            os.close(one.handle)

    def close(self) -> None:
        """End it."""
        self._is_over = True
        with self._bell:
            self._bell.notify()
        self._thread.join(5)
        with self._bell:
            for one in self._waiting:
                os.close(one.handle)
            self._waiting.clear()
