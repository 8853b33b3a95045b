"""Sum up the last rows of a series as a few means: its shape."""

from collections import deque
from typing import Final

import numpy as np

POINTS: Final = 12
"""Numbers in a shape, each the mean of `step` rows."""


class Shape:
    """Hold the running means that the last POINTS * `step` rows need."""

    def __init__(self, step: int) -> None:
        self.rows = step * POINTS
        self._step = step
        self._last: deque[float] = deque(maxlen=step)
        self._means = np.zeros((POINTS - 1) * step + 1)
        self._seen = 0

    def learn(self, value: float) -> np.ndarray | None:
        """Give the POINTS means with this row in, the newest last; None with too few rows."""
        self._last.append(value)
        self._means[:-1] = self._means[1:]
        self._means[-1] = sum(self._last) / self._step
        self._seen += 1
        return self._means[:: self._step].copy() if self._seen >= self.rows else None
