"""Say how rare the rarest single feature of a row is, whatever the others do.

Sums and distances over many features hide a spike of one: 200 failed sign-ins in a window that is
otherwise like any. Here each feature is held against the highest values that calm rows had in it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PEAKS: Final = 64
"""Highest values kept of each feature: what is below them all is not rare."""
_LEAST_SPREAD: Final = 0.2
_LEAST_EXCESS: Final = 1.0
"""Deviations that mean little beyond the highest of a feature that never moved."""
_FARTHEST: Final = 600.0


class Extremes:
    """Keep how far from its middle each feature went: `sizes` (features, PEAKS), highest last.

    `sizes`: -inf where there are fewer; `places`: the row at which each came; `floor`: (features,),
    no size above it was left out in the last `memory` rows; `seen`: rows ever. `middle`, `spread`:
    (features,), of the first rows, and fixed: what follows the rows that are learned narrows with
    them, and then everything looks far away.
    """

    def __init__(self, features: int, memory: int = 100_000) -> None:
        self.memory, self.seen = memory, 0
        self.sizes: Floats = np.full((features, PEAKS), -np.inf)
        self.places: Floats = np.zeros((features, PEAKS))
        self.floor: Floats = np.full(features, -np.inf)
        self.middle: Floats = np.zeros(features)
        self.spread: Floats = np.ones(features)

    def fit(self, rows: Floats) -> None:
        """Learn the first rows (n, features), and what is the middle."""
        self.middle = rows.mean(axis=0)
        self.spread = np.maximum(rows.std(axis=0), _LEAST_SPREAD)
        self.learn(self.size(rows))

    def size(self, rows: Floats) -> Floats:
        """Give how far from its middle each feature is, not cut: a spike may be any size."""
        return np.asarray(np.round(np.abs(rows - self.middle) / self.spread, 6))

    def rarity(self, sizes: Floats) -> tuple[Floats, Ints]:
        """Give -log p of each row's rarest feature (n,), and which one it is.

        `sizes`: (n, features), as `size` gives them. A row with nothing above the floor is told 0.
        """
        count = min(self.seen, self.memory) + 1.0
        told = np.zeros(sizes.shape)
        row, feature = np.nonzero(sizes > self.floor)
        for begin in range(0, len(row), 8_192):
            rows, features = row[begin : begin + 8_192], feature[begin : begin + 8_192]
            size, peaks = sizes[rows, features], self.sizes[features]
            higher = (peaks >= size[:, None]).sum(axis=1)
            surprise = np.log(count / (higher + 1.0))
            above = higher == 0
            if above.any() and self.seen:
                surprise[above] += self._beyond(size[above], features[above])
            told[rows, features] = surprise
        rarest = told.argmax(axis=1)
        return told[np.arange(len(told)), rarest], rarest

    def _beyond(self, size: Floats, feature: Ints) -> Floats:
        """Give how much rarer in logs than the highest of a feature each size above it is.

        Beyond the highest, sizes are taken to thin out as fast as they do towards it: features are
        logs of counts, and tails of counts are straight in logs.
        """
        peaks, floor = self.sizes[feature], self.floor[feature]
        known = np.isfinite(peaks)
        lowest = np.where(np.isfinite(floor), floor, np.where(known, peaks, np.inf).min(axis=1))
        excess = np.where(known, peaks - lowest[:, None], 0.0).sum(axis=1) / known.sum(axis=1).clip(
            1
        )
        far = (size - np.maximum(peaks[:, -1], lowest)) / np.maximum(excess, _LEAST_EXCESS)
        return np.asarray(np.minimum(far, _FARTHEST))

    def cut(self, size: Floats, p: float) -> Floats:
        """Cut the features of one row (features,) down to what is about as rare as `p` in each."""
        rank = max(int(p * min(self.seen, self.memory)), 1)
        most = self.sizes[:, -min(rank, PEAKS)]
        return np.asarray(np.where(np.isfinite(most), np.minimum(size, most), size))

    def learn(self, sizes: Floats) -> None:
        """Take calm rows in (n, features); the oldest go."""
        places = np.arange(self.seen, self.seen + len(sizes), dtype=np.float64)
        self.seen += len(sizes)
        row, feature = np.nonzero(sizes > self.floor)
        order = np.argsort(feature, kind="stable")
        row, feature = row[order], feature[order]
        bounds = np.flatnonzero(np.diff(feature)) + 1
        for part in np.split(np.arange(len(row)), bounds) if len(row) else []:
            self._take(int(feature[part[0]]), sizes[row[part], feature[part]], places[row[part]])

    def _take(self, feature: int, sizes: Floats, places: Floats) -> None:
        old = self.sizes[feature], self.places[feature]
        every = [np.concatenate(pair) for pair in zip(old, (sizes, places), strict=True)]
        fresh = np.isfinite(every[0]) & (every[1] >= self.seen - self.memory)
        size, place = (part[fresh] for part in every)
        order = np.argsort(size, kind="stable")
        size, place = size[order], place[order]
        if len(size) > PEAKS:
            self.floor[feature] = size[-PEAKS - 1]
            kept = size > self.floor[feature]
            size, place = size[kept], place[kept]
        self.sizes[feature], self.places[feature] = -np.inf, 0.0
        self.sizes[feature, PEAKS - len(size) :] = size
        self.places[feature, PEAKS - len(place) :] = place
