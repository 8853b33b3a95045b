"""Say how rare a score is: conformal p-values among calm rows, with a tail that never saturates."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TAIL: Final = 0.05
"""Share of the calm scores from which the tail's shape is read."""
PEAKS: Final = 256
"""Highest scores kept for long: rare ones are too few among those that stand for the body."""
_LEAST_P: Final = 1e-300
_LEAST_INDEX: Final = 0.2
"""No tail is taken to be steeper: twice the highest is at most 32 times as rare."""


class Calibration:
    """Keep what calm rows scored: `size` of them for the body, and the highest for the tail.

    `kept`: scores drawn from the last `memory` rows or so; `peaks`: (k, 2), the highest of the last
    `memory` rows and at which row each came, sorted; `floor`: no score above it was left out of
    them; `seen`: rows ever. Memory 8 bytes each. `unit`: a difference of scores that means nothing
    yet, for rows that are all alike.

    p = (1 + how many were at least as high) / (1 + how many there are): among exchangeable rows no
    more than a share `a` has p <= a. Beyond the last of them a Pareto tail (Hill's estimate) goes
    on, so that records do not tie; or, where scores are `surprises` (logs of p themselves, or their
    sums), an exponential one, for that is how those thin out.
    """

    def __init__(
        self,
        size: int = 8192,
        unit: float = 0.1,
        memory: int = 100_000,
        *,
        surprises: bool = False,
    ) -> None:
        self.size, self.unit, self.memory, self.surprises = size, unit, memory, surprises
        self.seen = 0
        self.floor = -np.inf
        self.kept: Floats = np.zeros(0)
        self.peaks: Floats = np.zeros((0, 2))
        self._order: Floats = np.zeros(0)

    def learn(self, scores: Floats) -> None:
        """Take scores of calm rows in; the oldest go."""
        places = np.arange(self.seen, self.seen + len(scores))
        room = self.size - len(self.kept)
        self.kept = np.concatenate([self.kept, scores[:room]])
        chosen, slots = _drawn(places[room:], self.size / self.memory, self.size)
        self.kept[slots] = scores[room:][chosen]
        self._order = np.sort(self.kept)
        self.seen += len(scores)
        self._learn_peaks(scores, places)

    def _learn_peaks(self, scores: Floats, places: npt.NDArray[np.int64]) -> None:
        high = scores > self.floor
        fresh = np.stack([scores[high], places[high].astype(np.float64)], axis=1)
        every = np.concatenate([self.peaks, fresh])
        every = every[every[:, 1] >= self.seen - self.memory]
        every = every[np.argsort(every[:, 0], kind="stable")]
        if len(every) > PEAKS:
            self.floor = float(every[-PEAKS - 1, 0])
            every = every[-PEAKS:]
            every = every[every[:, 0] > self.floor]
        self.peaks = every

    @property
    def count(self) -> int:
        """Give how many rows the peaks stand for."""
        return min(self.seen, self.memory)

    def restore(self, kept: Floats, peaks: Floats, floor: float, seen: int) -> None:
        """Take back what another one knew."""
        self.kept, self.peaks, self.floor, self.seen = kept, peaks, floor, seen
        self._order = np.sort(kept)

    def p(self, scores: Floats) -> Floats:
        """Give the p-value of each score, in (0, 1]; 1 while nothing was learned."""
        if not self.seen:
            return np.ones(len(scores))
        peaks, count = self.peaks[:, 0], self.count
        higher = len(peaks) - np.searchsorted(peaks, scores, side="left")
        p = (higher + 1.0) / (count + 1.0)
        below = scores <= self.floor
        if below.any():
            at_least = len(self._order) - np.searchsorted(self._order, scores[below], side="left")
            p[below] = np.maximum(p[below], (at_least + 1.0) / (len(self._order) + 1.0))
        above = (higher == 0) & ~below
        if above.any():
            p[above] *= self._beyond(scores[above])
        return np.asarray(np.maximum(p, _LEAST_P))

    def _beyond(self, scores: Floats) -> Floats:
        """Give by how much rarer than the highest of all a score above it is."""
        middle, end, thinning = self._tail()
        far = scores - middle - end
        if not self.surprises:
            far = np.log(np.maximum((scores - middle) / end, 1.0))
        return np.asarray(np.exp(-np.clip(far / thinning, 0.0, 600.0)))

    def _tail(self) -> tuple[float, float, float]:
        """Give the middle of all, how far from it the highest is, and how the tail thins out.

        Measured from the middle, so that the shape does not depend on where zero is.
        """
        middle = float(self._order[len(self._order) // 2])
        # The peaks may have grown old: what stands for the body then gives the tail.
        high = self.peaks[:, 0] if len(self.peaks) > 1 else self._order
        tail = high[-max(2, int(TAIL * self.count)) :] - middle
        begin, end = max(float(tail[0]), self.unit), max(float(tail[-1]), self.unit)
        if self.surprises:
            return middle, end, max(float(np.mean(np.maximum(tail, begin) - begin)), self.unit)
        index = float(np.mean(np.log(np.maximum(tail / begin, 1.0))))
        return middle, end, max(index, _LEAST_INDEX)

    def score_at(self, p: float) -> float:
        """Give about the score whose p-value is `p`; infinity while nothing was learned."""
        if not self.seen:
            return float("inf")
        peaks, count = self.peaks[:, 0], self.count
        rank = int(np.floor(p * (count + 1.0))) - 1
        if rank < 0:
            middle, end, thinning = self._tail()
            far = -thinning * np.log(p * (count + 1.0))
            return middle + float(end + far if self.surprises else end * np.exp(far))
        if rank < len(peaks):
            return float(peaks[len(peaks) - rank - 1])
        body = len(self._order)
        rank = min(max(int(np.floor(p * (body + 1.0))) - 1, 0), body - 1)
        return float(self._order[body - rank - 1])


def _drawn(
    places: npt.NDArray[np.int64], share: float, size: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Draw about a share of rows, each by its number alone, and a slot for each drawn."""
    mixed = (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    chosen = (mixed >> np.uint64(40)).astype(np.float64) < share * 2.0**24
    return chosen, ((mixed[chosen] & np.uint64(0xFFFFFFFF)) % np.uint64(size)).astype(np.int64)
