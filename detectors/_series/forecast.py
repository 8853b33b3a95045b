"""Foretell the next value from the last few: recursive least squares that slowly forgets."""

import math
from typing import Final

import numpy as np

LAGS: Final = 8
KEPT_PER_ROW: Final = 0.998
MOST_OFF: Final = 3.0
"""Errors count for at most this many deviations when learning: one spike must not teach."""
LEAST_SURE: Final = 1e4
SLOW_ROWS: Final = 500


class Forecast:
    """Hold LAGS + 1 weights of one series and its slow mean and variance."""

    def __init__(self) -> None:
        self._last = np.zeros(LAGS + 1)
        self._last[-1] = 1.0
        self._weights = np.zeros(LAGS + 1)
        self._unsure = np.eye(LAGS + 1) * 100.0
        self._rows = 0
        self._mean = 0.0
        self._variance = 0.0
        self._off = 0.0
        self.expected: tuple[float, float] | None = None

    def measure(self, value: float) -> float:
        """Give how far the value is from the one foretold (0 in the first rows), learn it."""
        off, self.expected = 0.0, None
        if self._rows == 0:
            self._mean = value
        if self._rows >= LAGS:
            off = self._compare(value)
        self._rows += 1
        share = 1 / min(self._rows, SLOW_ROWS)
        self._mean += (value - self._mean) * share
        self._variance += ((value - self._mean) ** 2 - self._variance) * share
        self._last[: LAGS - 1] = self._last[1:LAGS]
        self._last[LAGS - 1] = value
        return off

    def _compare(self, value: float) -> float:
        scale = math.sqrt(self._variance) or 1.0
        seen = (self._last - self._mean) / scale
        seen[-1] = 1.0
        foretold = self._mean + float(self._weights @ seen) * scale
        off = abs(value - foretold)
        self.expected = (foretold - 3 * self._off, foretold + 3 * self._off)
        self._off += (off - self._off) * 0.01
        error = (value - foretold) / scale
        self._adjust(seen, max(-MOST_OFF, min(MOST_OFF, error)))
        return off

    def _adjust(self, seen: np.ndarray, error: float) -> None:
        gain = self._unsure @ seen
        step = gain / (KEPT_PER_ROW + float(seen @ gain))
        self._weights += step * error
        self._unsure = (self._unsure - np.outer(step, gain)) / KEPT_PER_ROW
        size = float(np.trace(self._unsure))
        if size > LEAST_SURE:
            self._unsure *= LEAST_SURE / size
