"""Measure how unevenly the last values lie among all that were seen."""

from collections import deque
from typing import Final

BINS: Final = 12


class Spread:
    """Count in which twelfth of the places before each of the last `rows` values lay."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._last: deque[int] = deque()
        self._counts = [0] * BINS
        self._seen = 0
        self.leans = "higher"

    def measure(self, place: float) -> float:
        """Give the largest gap between their shares and even ones (Kolmogorov and Smirnov).

        `place`: above 0 and below 1. 0 until twice as many rows were seen.
        """
        new = int(place * BINS)
        self._counts[new] += 1
        self._last.append(new)
        if len(self._last) > self.rows:
            self._counts[self._last.popleft()] -= 1
        self._seen += 1
        if self._seen <= 2 * self.rows:
            return 0.0
        widest = below = 0
        for number, count in enumerate(self._counts, 1):
            below += BINS * count
            gap = below - number * self.rows
            if abs(gap) > widest:
                widest, self.leans = abs(gap), "lower" if gap > 0 else "higher"
        return widest / (BINS * self.rows)
