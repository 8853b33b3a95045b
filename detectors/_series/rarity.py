"""Say how rare a measure is among the last ones: conformal, with a tail that never saturates."""

import math
from typing import Final

from detectors._series.ordered import Ordered

UNHEARD_OF: Final = 5.0
"""What the first value above nothing but zeros adds: there is no scale to compare it with."""


class Rarity:
    """Keep the last `rows` measures in order; memory about 100 bytes each, the oldest goes."""

    def __init__(self, rows: int) -> None:
        self._last = Ordered(rows)

    def learn(self, measure: float) -> float:
        """Give -log p of a measure (finite, 0 or more, higher is stranger), then remember it.

        p = (1 + how many were at least as high) / (1 + how many there are), the conformal
        p-value. Above all that was seen, log(measure / highest) is added: a Pareto tail of index
        1, so that two records do not tie.

        >>> rarity = Rarity(3)
        >>> [round(rarity.learn(m), 2) for m in (1.0, 1.0, 4.0)]
        [0.0, 0.0, 2.48]
        """
        surprise = self.surprise(measure)
        self.remember(measure)
        return surprise

    def surprise(self, measure: float) -> float:
        """Give -log p without remembering the measure."""
        count, at_least = len(self._last), self._last.at_least(measure)
        surprise = math.log((count + 1) / (at_least + 1))
        if count and not at_least:
            highest = self._last.highest
            # The quotient itself may be too big for a float.
            surprise += math.log(measure) - math.log(highest) if highest > 0 else UNHEARD_OF
        return surprise

    def remember(self, measure: float) -> None:
        """Take a measure into those that later ones are compared with."""
        self._last.add(measure)
