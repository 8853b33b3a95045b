"""Measure how far the shape of the last rows is from every shape before."""

import math
from collections import deque
from typing import Final

import numpy as np

from detectors._series.shape import POINTS, Shape

NEIGHBOURS: Final = 5
ROUNDING: Final = 1e-10
"""A squared distance below this share of the shape's own square is rounding, so 0."""


class Pattern:
    """Hold the last `memory` shapes of POINTS means of `step` rows each.

    Memory: 8 * (POINTS + 2) * `memory` bytes. Cost: one distance to each shape held, a row.
    """

    def __init__(self, step: int, memory: int) -> None:
        self._shape = Shape(step)
        self.rows = self._shape.rows
        self._first: float | None = None
        # Shapes that share a row with the present one are no neighbours: they wait here.
        self._waiting: deque[tuple[np.ndarray, float]] = deque()
        self._shapes = np.zeros((POINTS, memory))
        self._squares = np.full(memory, np.inf)
        self._distances = np.empty(memory)
        self._held = 0

    @property
    def compared(self) -> int:
        """Say with how many shapes the last one was compared."""
        return min(self._held, len(self._squares))

    def measure(self, value: float) -> float:
        """Give the distance to the NEIGHBOURS-nearest shape (0 with fewer), learn the new one."""
        if self._first is None:
            self._first = value
        shape = self._shape.learn(value - self._first)
        if shape is None:
            return 0.0
        square = float(shape @ shape)
        if len(self._waiting) == self.rows:
            self._hold(*self._waiting.popleft())
        self._waiting.append((shape, square))
        return self._distance(shape, square) if self._held >= NEIGHBOURS else 0.0

    def _hold(self, shape: np.ndarray, square: float) -> None:
        place = self._held % len(self._squares)
        self._shapes[:, place] = shape
        self._squares[place] = square
        self._held += 1

    def _distance(self, shape: np.ndarray, square: float) -> float:
        """|a - b|² = |a|² - 2ab + |b|²: one product with all shapes is five times as fast."""
        found = self._distances
        np.dot(shape, self._shapes, out=found)
        found *= -2.0
        found += self._squares
        found.partition(NEIGHBOURS - 1)
        nearest = float(found[NEIGHBOURS - 1]) + square
        return math.sqrt(nearest) if nearest > ROUNDING * square else 0.0
