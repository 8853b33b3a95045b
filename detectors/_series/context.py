"""Measure how far the last rows' shape is from what the same time of other days showed."""

import math
from typing import Final

import numpy as np

from detectors._series.shape import POINTS, Shape

DAY_S: Final = 86_400
SLOTS: Final = 96
"""Quarters of an hour in a day; each keeps one shape a day."""
DAYS: Final = 28
NEAREST: Final = 2
"""One day alone may have been odd itself."""
SAME: Final = 0.05
"""Shapes this near differ by how many values their places were taken among, no more."""


class Context:
    """Hold, of each quarter of an hour of the last DAYS days, the shape of the rows before it.

    Memory: 8 * SLOTS * DAYS * POINTS bytes, 258 kB. Cost: 3 * DAYS distances a row.
    """

    def __init__(self, step: int) -> None:
        self._shape = Shape(step)
        self.rows = self._shape.rows
        self._shapes = np.full((SLOTS, DAYS, POINTS), np.inf)
        self._times_s = np.full((SLOTS, DAYS), -np.inf)

    def measure(self, time_s: float, value: float) -> float:
        """Give the distance to the NEAREST-nearest of other days (0 with fewer), learn this one.

        A quarter before and one behind count as the same time. `value`: between 0 and 1.
        """
        shape = self._shape.learn(value)
        if shape is None:
            return 0.0
        day, second = divmod(time_s, DAY_S)
        slot, place = int(second * SLOTS / DAY_S) % SLOTS, int(day) % DAYS
        near = [slot - 1, slot, (slot + 1) % SLOTS]
        off = self._shapes[near] - shape
        squares = np.einsum("ijk,ijk->ij", off, off)
        squares[self._times_s[near] > time_s - DAY_S / 2] = np.inf
        self._shapes[slot, place], self._times_s[slot, place] = shape, time_s
        nearest = float(np.partition(squares, NEAREST - 1, axis=None)[NEAREST - 1])
        return math.sqrt(nearest) if SAME**2 < nearest < math.inf else 0.0
