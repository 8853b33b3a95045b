"""Decide what may be learned: calm rows, and for a bounded time more of them after a drift."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from river.drift import ADWIN

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
CALM: Final = 0.1
"""Rows with a smaller p-value are not learned: who attacks must not teach what is usual."""
CALM_AFTER_DRIFT: Final = 0.001
"""The same while a drift is learned: all but the very strangest."""
LEVELS: Final = (1e-3, 1e-4, 1e-5, 1e-6)
"""At each of these, calibrations learn at most `SLACK` times as many rows as there should be."""
SLACK: Final = 2.0
MOST_TOKENS: Final = 20.0
"""Rows of a level that may come at once, after a long calm."""
MOST_TAIL: Final = 2.5 * CALM
"""Share of rare rows up to which a stream is calm enough to calibrate by."""
_TAIL_MEMORY: Final = 1_000.0
_MANY: Final = 100
"""Rows of one batch that are enough to judge it by itself."""
MOST_LEVELS: Final = 400
"""Levels of past batches kept to see a drift in."""


@dataclass(slots=True)
class Gate:
    """Keep the level of each batch and how many rows of a re-learning are left.

    `levels`: mean of -log p of the batches, oldest first, at most `MOST_LEVELS`; `left`: rows that
    are still learned under the wider gate; `relearn`: how many a drift opens it for; `rest`: rows
    after one before the next may open it, so that a lasting attack cannot hold it open; `tail`:
    share of rare rows lately; `tokens`: rows of each level that may still be learned.
    """

    relearn: int = 2_000
    rest: int = 20_000
    left: int = 0
    resting: int = 0
    levels: list[float] = field(default_factory=list)
    tail: float = CALM
    tokens: list[float] = field(default_factory=lambda: [0.0 for _ in LEVELS])

    def admit(self, p: Floats) -> tuple[Bools, Floats]:
        """Say which rows of a batch the models learn, and how rare each is to the calibrations.

        Calibrations need the rarer calm rows too, or their tail would wear off, and ever more be
        claimed of nothing. But an attack must not become what is usual: at each level no more rows
        are learned than calm ones could be, the others as if they were just not so rare (their p
        is told as the level's), and beyond the first level not at all (infinity). Nor is anything
        while far more rows are rare than should be: then it is not calm rows that would be learned.
        """
        count = len(p)
        if not count:
            return np.zeros(0, bool), np.zeros(0)
        wide = np.arange(count) < self.left
        admitted = np.where(wide, p > CALM_AFTER_DRIFT, p > CALM)
        self.left = max(0, self.left - count)
        self.resting = max(0, self.resting - count)
        self.levels = [*self.levels, float(np.mean(-np.log(p)))][-MOST_LEVELS:]
        if not self.left and not self.resting and self._drifts():
            self.left, self.resting, self.levels = self.relearn, self.relearn + self.rest, []
        kept = float(np.exp(-count / _TAIL_MEMORY))
        share = float(np.mean(p <= CALM))
        self.tail = kept * self.tail + (1.0 - kept) * share
        is_calm = self.tail <= MOST_TAIL and (count < _MANY or share <= MOST_TAIL)
        return admitted, self._rated(p) if is_calm else np.full(count, np.inf)

    def _rated(self, p: Floats) -> Floats:
        """Give the p that each row is learned by, and take its tokens."""
        earned = (
            min(t + SLACK * at * len(p), MOST_TOKENS)
            for t, at in zip(self.tokens, LEVELS, strict=True)
        )
        self.tokens = list(earned)
        told = p.copy()
        for row in np.flatnonzero(p <= LEVELS[0]).tolist():
            for place, level in enumerate(LEVELS):
                if p[row] > level:
                    break
                if self.tokens[place] < 1.0:
                    told[row] = level if place else np.inf
                    break
                self.tokens[place] -= 1.0
        return told

    def _drifts(self) -> bool:
        """Ask ADWIN over the levels kept: rebuilt each time, so that the state is plain numbers."""
        judge = ADWIN(delta=0.002, clock=1, min_window_length=8, grace_period=16)
        found = False
        for level in self.levels:
            judge.update(level)
            found = bool(judge.drift_detected)
        return found
