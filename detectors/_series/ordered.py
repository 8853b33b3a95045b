"""Keep the last numbers of a series in order, and say where a new one stands among them."""

from bisect import bisect_left, bisect_right, insort
from collections import deque


class Ordered:
    """Hold the last `rows` numbers; memory about 100 bytes each, the oldest goes."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def highest(self) -> float:
        """Give the highest number held; there must be one."""
        return self._sorted[-1]

    def at_least(self, number: float) -> int:
        """Count the numbers held that are this high or higher."""
        return len(self._sorted) - bisect_left(self._sorted, number)

    def place(self, number: float) -> float:
        """Give the share of the numbers held below this one, above 0 and below 1; ties halved.

        >>> ordered = Ordered(3)
        >>> for number in (9.0, 1.0, 2.0, 2.0): ordered.add(number)
        >>> len(ordered), ordered.place(2.0), ordered.place(9.0)
        (3, 0.625, 0.875)
        """
        low, high = bisect_left(self._sorted, number), bisect_right(self._sorted, number)
        return (low + high + 1) / (2 * len(self._sorted) + 2)

    def add(self, number: float) -> None:
        """Hold one more number, let the oldest go when there are too many."""
        insort(self._sorted, number)
        self._arrived.append(number)
        if len(self._arrived) > self._rows:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
