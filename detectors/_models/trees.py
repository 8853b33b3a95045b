"""Half-space trees on whole batches: how few rows of the last window fell where this one falls.

After Tan, Ting and Liu, "Fast anomaly detection for streaming data", IJCAI 2011. The answers are
those of river's `HalfSpaceTrees` on the same trees (tested); a batch is scored before it is
learned.
"""

from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_PADDING: Final = 0.15
_SMALL: Final = 0.1
"""Share of a window below which a place is not looked into further."""


class HalfSpaceTrees:
    """Trees over features in [0, 1]. Node 0 is the root, `2 i + 1` and `2 i + 2` its children.

    `feature`, `threshold`: (trees, inner nodes); `reference`, `latest`: masses, (trees, leaves).
    """

    def __init__(self, feature: Ints, threshold: Floats, window: int) -> None:
        trees, inner = feature.shape
        self.feature, self.threshold, self.window = feature, threshold, window
        self.height = int(inner + 1).bit_length() - 1
        self.reference: Ints = np.zeros((trees, inner + 1), np.int64)
        self.latest: Ints = np.zeros_like(self.reference)
        self.seen = 0
        self._sums: Floats | None = None

    @classmethod
    def grown(
        cls, features: int, trees: int = 25, height: int = 8, window: int = 1000, seed: int = 1
    ) -> Self:
        """Draw trees: each node halves a random feature's range, not quite in its middle."""
        draw = np.random.default_rng(seed)
        inner = 2**height - 1
        feature = draw.integers(0, features, (trees, inner))
        threshold = np.zeros((trees, inner))
        low = np.zeros((trees, 2 * inner + 1, features))
        high = np.ones((trees, 2 * inner + 1, features))
        rows = np.arange(trees)
        for node in range(inner):
            axis = feature[:, node]
            least, most = low[rows, node, axis], high[rows, node, axis]
            room = _PADDING * (most - least)
            cut = draw.uniform(least + room, most - room)
            threshold[:, node] = cut
            for child in (2 * node + 1, 2 * node + 2):
                low[:, child], high[:, child] = low[:, node], high[:, node]
            high[rows, 2 * node + 1, axis] = cut
            low[rows, 2 * node + 2, axis] = cut
        return cls(feature, threshold, window)

    def leaves(self, rows: Floats) -> Ints:
        """Give the leaf, from 0, at which each row ends in each tree: (trees, n)."""
        trees, inner = self.feature.shape
        count = len(rows)
        values = np.ascontiguousarray(rows.T, np.float64).ravel()
        begins = (self.feature * count).ravel()
        thresholds = self.threshold.ravel()
        shift = (np.arange(trees) * inner)[:, None]
        places = np.arange(count)
        node: Ints = np.zeros((trees, count), np.int64)
        for _ in range(self.height):
            at = node + shift
            value = values.take(begins.take(at) + places)
            node += node + 1 + (value >= thresholds.take(at))
        return np.asarray(node - inner)

    def emptiness(self, leaves: Ints) -> Floats:
        """Score rows by their leaves: -log of the mass around them, higher is emptier, unbounded.

        The mass is river's: over the levels the sum of mass times 2^depth, until a place is small.
        """
        return np.asarray(-np.log1p(self.masses(leaves) / (len(self.feature) * self.window)))

    def masses(self, leaves: Ints) -> Floats:
        """Give river's sum of masses for each row."""
        if self._sums is None:
            self._sums = self._summed()
        trees, width = self._sums.shape
        at = leaves + (np.arange(trees) * width)[:, None]
        return np.asarray(self._sums.ravel().take(at).sum(axis=0))

    def _summed(self) -> Floats:
        """Give the sum of masses that a row of each leaf meets on its way: (trees, leaves)."""
        trees, width = self.reference.shape
        total, going = np.zeros((trees, width)), np.ones((trees, width), bool)
        for depth in range(self.height + 1):
            level = self.reference.reshape(trees, 2**depth, -1).sum(axis=2)
            mass = np.repeat(level, width // 2**depth, axis=1)
            total += np.where(going, mass * float(2**depth), 0.0)
            going &= mass >= _SMALL * self.window
        return total

    def learn(self, leaves: Ints) -> None:
        """Take rows in; each full window becomes the one that scores are made by."""
        count, begin = leaves.shape[1], 0
        while begin < count:
            end = min(count, begin + self.window - self.seen)
            self._add(leaves[:, begin:end])
            self.seen += end - begin
            if self.seen == self.window:
                self.hold(self.latest, np.zeros_like(self.latest), 0)
            begin = end

    def hold(self, reference: Ints, latest: Ints, seen: int) -> None:
        """Take the masses of a last window and of the one that is being filled."""
        self.reference, self.latest, self.seen, self._sums = reference, latest, seen, None

    def begin(self) -> None:
        """Score by what was seen of the first window so far, taken for a whole one."""
        if self.seen and not self.reference.any():
            whole = self.latest * self.window // self.seen
            self.hold(whole, np.zeros_like(self.latest), 0)

    def _add(self, leaves: Ints) -> None:
        trees, width = self.latest.shape
        at = leaves + (np.arange(trees) * width)[:, None]
        self.latest += np.bincount(at.ravel(), minlength=trees * width).reshape(trees, width)
