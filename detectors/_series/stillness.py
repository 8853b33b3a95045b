"""Notice what does not happen: a value that stands still, a row that does not come."""

from typing import Final

SHORTEST_ROWS: Final = 12
"""A run no longer than this is no dead line."""
LEARNED_PER_ROW: Final = 0.05
SHORTEST_GAPS: Final = 2
"""A gap below so many usual ones is jitter."""


class Stillness:
    """Count rows of the same value; compare them with the longest such run that came to an end."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._longest: int | None = None
        self.rows = 0

    def measure(self, value: float) -> float:
        """Give rows stood still / longest run before, where that is above 1, else 0.

        A series that never moved is not dead but constant: 0.
        """
        if value == self._value:
            self.rows += 1
        else:
            if self._value is not None:
                self._longest = max(self.rows, self._longest or SHORTEST_ROWS)
            self._value, self.rows = value, 1
        if self._longest is None or self.rows <= self._longest:
            return 0.0
        return self.rows / self._longest


class Silence:
    """Compare the time since the row before with what is usual."""

    def __init__(self) -> None:
        self._before_s: float | None = None
        self.usual_s: float | None = None
        self.gap_s = 0.0

    def measure(self, time_s: float) -> float:
        """Give how many usual gaps went by without a row, 0 below SHORTEST_GAPS; learn the gap."""
        missed = 0.0
        if self._before_s is not None:
            self.gap_s = max(0.0, time_s - self._before_s)
            if self.usual_s is None:
                self.usual_s = self.gap_s
            if self.usual_s > 0 and self.gap_s >= SHORTEST_GAPS * self.usual_s:
                missed = self.gap_s // self.usual_s
            self.usual_s += (min(self.gap_s, 2 * self.usual_s or self.gap_s) - self.usual_s) * (
                LEARNED_PER_ROW
            )
        self._before_s = time_s
        return missed
