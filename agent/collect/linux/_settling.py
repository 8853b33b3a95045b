"""Say when a file that was written is looked at: soon, but not again and again.

A file whose handle stays open is looked at when nobody has written to it for two seconds, in any
case after ten seconds. One that took long to hash rests for twenty times as long.
"""

from dataclasses import dataclass
from typing import Final

from agent.collect import Event

SETTLE_S: Final = 2.0
LATEST_S: Final = 10.0
RESTS: Final = 20
_CHEAP_S: Final = 0.01
_MOST: Final = 2000


@dataclass(slots=True)
class _Waiting:
    first_s: float
    due_s: float
    mask: int
    who: Event | None


class Settling:
    """The files that wait to be looked at, at most 2,000; over it none waits."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: dict[str, _Waiting] = {}
        self._rests: dict[str, float] = {}

    def put(self, path: str, mask: int, who: Event | None, now_s: float, is_open: bool) -> bool:
        """Answer whether the file waits now; otherwise it is to be looked at at once."""
        rests_s = self._rests.get(path, 0.0)
        if rests_s <= now_s and not is_open:
            self._waiting.pop(path, None)
            return False
        one = self._waiting.get(path)
        if one is None:
            if len(self._waiting) >= _MOST:
                return False
            one = self._waiting[path] = _Waiting(now_s, now_s, 0, None)
        due_s = min(now_s + SETTLE_S, one.first_s + LATEST_S) if is_open else now_s
        one.due_s, one.mask, one.who = max(due_s, rests_s), one.mask | mask, who or one.who
        return True

    def looked(self, path: str, cost_s: float, now_s: float) -> None:
        """Note what a look has cost."""
        if cost_s > _CHEAP_S:
            self._rests[path] = now_s + RESTS * cost_s
            if len(self._rests) > _MOST:
                self._rests = {p: s for p, s in self._rests.items() if s > now_s}

    def ready(self, now_s: float) -> list[tuple[str, int, Event | None]]:
        """Give the files to look at now, with what was done to them and by whom."""
        due = [path for path, one in self._waiting.items() if one.due_s <= now_s]
        found = [(path, self._waiting.pop(path)) for path in due]
        return [(path, one.mask, one.who) for path, one in found]
