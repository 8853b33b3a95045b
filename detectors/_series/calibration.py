"""Calibrate the sum of all measures, so that one long event does not hide the next."""

from typing import Final

from detectors._series.alert import ALERT_SCORE
from detectors._series.rarity import Rarity

LEARNED_ROWS: Final = 24
"""So many rows of an event are learned each."""
EVERY: Final = 8
"""Of a longer one, one row in so many: they say the same, yet a lasting change must count."""


class Calibration:
    """Remember the last `rows` sums, and how long the present ones have been strange."""

    def __init__(self, rows: int) -> None:
        self._rarity = Rarity(rows)
        self._row = 0
        self._strange_rows = 0

    def learn(self, total: float) -> float:
        """Give -log p of a row's sum, then remember it, in a long event only now and then."""
        score = self._rarity.surprise(total)
        self._strange_rows = max(0, self._strange_rows + (1 if score >= ALERT_SCORE else -1))
        if self._strange_rows <= LEARNED_ROWS or self._row % EVERY == 0:
            self._rarity.remember(total)
        self._row += 1
        return score
