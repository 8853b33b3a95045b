"""Say how rare a score is: conformal p-values among calm rows, with a tail that never saturates."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TAIL: Final = 0.05
"""Share of the calm scores from which the tail's shape is read."""
_LEAST_P: Final = 1e-300
_LEAST_INDEX: Final = 0.2
"""No tail is taken to be steeper: twice the highest is at most 32 times as rare."""


class Calibration:
    """Keep the last `size` scores of calm rows; memory 8 bytes each.

    p = (1 + how many were at least as high) / (1 + how many there are): among exchangeable rows no
    more than a share `a` has p <= a. Beyond the last of them a Pareto tail (Hill's estimate) goes
    on, so that records do not tie. `unit`: a difference of scores that means nothing yet, for rows
    that are all alike.
    """

    def __init__(self, size: int = 8192, unit: float = 0.1) -> None:
        self.size, self.unit = size, unit
        self.kept: Floats = np.zeros(0)
        self._order: Floats = np.zeros(0)

    def learn(self, scores: Floats) -> None:
        """Take scores of calm rows in; the oldest go."""
        self.kept = np.concatenate([self.kept, scores])[-self.size :]
        self._order = np.sort(self.kept)

    def p(self, scores: Floats) -> Floats:
        """Give the p-value of each score, in (0, 1]; 1 while nothing was learned."""
        count = len(self._order)
        if not count:
            return np.ones(len(scores))
        at_least = count - np.searchsorted(self._order, scores, side="left")
        p = (at_least + 1.0) / (count + 1.0)
        above = at_least == 0
        if above.any():
            p[above] *= self._beyond(scores[above])
        return np.asarray(np.maximum(p, _LEAST_P))

    def _beyond(self, scores: Floats) -> Floats:
        """Give by how much rarer than the highest of all a score above it is."""
        order = self._order
        tail = order[-max(2, int(TAIL * len(order))) :]
        # Measured from the middle, so that the shape does not depend on where zero is.
        middle = order[len(order) // 2]
        begin = max(float(tail[0] - middle), self.unit)
        end = max(float(tail[-1] - middle), self.unit)
        index = float(np.mean(np.log(np.maximum((tail - middle) / begin, 1.0))))
        far = np.log(np.maximum((scores - middle) / end, 1.0))
        return np.asarray(np.exp(-np.minimum(far / max(index, _LEAST_INDEX), 600.0)))

    def score_at(self, p: float) -> float:
        """Give the score whose p-value is the first at or below `p`; infinity while none is."""
        count = len(self._order)
        rank = int(np.floor(p * (count + 1.0))) - 1
        return float(self._order[count - rank - 1]) if 0 <= rank < count else float("inf")
