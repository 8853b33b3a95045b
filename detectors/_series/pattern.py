"""Measure how far the shape of the last rows is from every shape before."""

import math
from typing import Final

import numpy as np

POINTS: Final = 12
"""Numbers in a shape, each the mean of `step` rows."""


class Pattern:
    """Hold the last `memory` shapes of POINTS means of `step` rows each.

    Memory: 8 * POINTS * `memory` bytes. Cost: one distance to each shape held, a row.
    """

    def __init__(self, step: int, memory: int, neighbours: int) -> None:
        self.rows = step * POINTS
        self._step = step
        self._neighbours = neighbours
        self._values = np.zeros(self.rows)
        self._shapes = np.zeros((memory, POINTS))
        self._gaps = np.zeros((memory, POINTS))
        self._seen = 0

    @property
    def compared(self) -> int:
        """Say with how many shapes the last one was compared."""
        return max(0, min(self._seen - self.rows, len(self._shapes)) - self.rows)

    def measure(self, value: float) -> float:
        """Give the distance to the nearest shapes (0 while there are too few), learn the new one.

        Shapes that share a row with this one are no neighbours.
        """
        self._values[:-1] = self._values[1:]
        self._values[-1] = value
        self._seen += 1
        if self._seen < self.rows:
            return 0.0
        shape = self._values.reshape(POINTS, self._step).mean(axis=1)
        memory = len(self._shapes)
        whole = self._seen - self.rows
        held = min(whole, memory)
        distance = self._distance(shape, whole, held) if whole > self.rows else 0.0
        self._shapes[whole % memory] = shape
        return distance

    def _distance(self, shape: np.ndarray, whole: int, held: int) -> float:
        gaps = np.subtract(self._shapes[:held], shape, out=self._gaps[:held])
        squares = np.einsum("ij,ij->i", gaps, gaps)
        # The last `rows` shapes overlap this one; in the ring they may lie at both ends.
        last = (whole - 1) % len(self._shapes)
        first = last - self.rows + 1
        squares[max(first, 0) : last + 1] = np.inf
        if first < 0 and held == len(self._shapes):
            squares[first:] = np.inf
        rank = min(self._neighbours, held - self.rows) - 1
        return math.sqrt(np.partition(squares, rank)[rank])
