"""Slow down guessing: count failures per key in a sliding window, in bounded memory."""

import threading
from collections import OrderedDict, deque
from typing import Final

from storage.errors import Overloaded

MOST_KEYS: Final = 10_000
_US: Final = 1_000_000


class Throttle:
    """Refuse a key that failed `tries` times within `window_s`; the oldest keys are forgotten.

    Counts live in this process: with N processes an attacker gets N times the tries.
    """

    def __init__(self, tries: int, window_s: int) -> None:
        """Start with nobody counted."""
        self._tries = tries
        self._window_us = window_s * _US
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str, now_us: int) -> None:
        """Pass, or raise Overloaded with the seconds until the oldest failure is forgotten."""
        with self._lock:
            seen = self._recent(key, now_us)
            if seen is not None and len(seen) >= self._tries:
                wait_us = seen[0] + self._window_us - now_us
                raise Overloaded(
                    "too many failed tries; wait and try again",
                    retry_after_s=max(1, -(-wait_us // _US)),
                )

    def fail(self, key: str, now_us: int) -> None:
        """Count one failure."""
        with self._lock:
            seen = self._recent(key, now_us)
            if seen is None:
                seen = self._failures[key] = deque(maxlen=self._tries)
            seen.append(now_us)
            self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)

    def give_back(self, key: str, at_us: int) -> None:
        """Take back one failure counted at this time: it was none."""
        with self._lock:
            seen = self._failures.get(key)
            if seen is not None and at_us in seen:
                seen.remove(at_us)

    def forgive(self, key: str) -> None:
        """Forget a key's failures after it succeeded."""
        with self._lock:
            self._failures.pop(key, None)

    def _recent(self, key: str, now_us: int) -> "deque[int] | None":
        seen = self._failures.get(key)
        while seen and seen[0] <= now_us - self._window_us:
            seen.popleft()
        return seen
