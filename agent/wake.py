"""Call the half that responds when there is something to do, and end it when there is not.

Its unit starts it where the mark lies. It is taken away before the last look at what waits, and
laid down after an order is kept: whatever comes in between is seen by one of the two.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.orders import Orders

WANTED: Final = Path("respond/wanted")
"""In the agent's data folder; `agent.units` names it too."""


def call(folder: Path) -> None:
    """Have the half that responds started; nothing if it is called already."""
    mark = folder / WANTED
    if not mark.exists():
        mark.parent.mkdir(exist_ok=True, mode=0o700)
        mark.touch(mode=0o600)


class Idle:
    """Say when the half has had nothing to do for so long. `most_s`: 0 is never."""

    def __init__(
        self,
        folder: Path,
        orders: Orders,
        most_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now."""
        self._folder, self._orders, self._most_s, self._now_s = folder, orders, most_s, now_s
        self._since_s = now_s()
        self.is_over = False
        self.looks = 0

    def look(self, has_done: bool) -> bool:
        """Answer whether to end. While something is in force the mark stays: a crash is mended."""
        self.looks += 1
        if not self._most_s:
            return False
        if has_done or self._orders.has_work():
            self._since_s = self._now_s()
            call(self._folder)
        elif self._now_s() - self._since_s >= self._most_s:
            (self._folder / WANTED).unlink(missing_ok=True)
            self.is_over = not self._orders.has_work()
            if not self.is_over:
                call(self._folder)
        return self.is_over
