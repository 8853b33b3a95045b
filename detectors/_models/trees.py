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

    `feature`, `threshold`: (trees, inner nodes); `reference`, `latest`: masses, (trees, nodes).
    """

    def __init__(self, feature: Ints, threshold: Floats, window: int) -> None:
        trees, inner = feature.shape
        self.feature, self.threshold, self.window = feature, threshold, window
        self.height = int(inner + 1).bit_length() - 1
        self.reference: Ints = np.zeros((trees, 2 * inner + 1), np.int64)
        self.latest: Ints = np.zeros_like(self.reference)
        self.seen = 0

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

    def paths(self, rows: Floats) -> list[Ints]:
        """Give for each level the node (trees, n) at which each row stands."""
        trees = np.arange(len(self.feature))[:, None]
        places = np.arange(len(rows))[None, :]
        node: Ints = np.zeros((len(self.feature), len(rows)), np.int64)
        told = [node]
        for _ in range(self.height):
            value = rows[places, self.feature[trees, node]]
            node = 2 * node + 1 + (value >= self.threshold[trees, node])
            told.append(node)
        return told

    def emptiness(self, paths: list[Ints]) -> Floats:
        """Score rows by their paths: -log of the mass around them, higher is emptier, unbounded.

        The mass is river's: over the levels the sum of mass times 2^depth, until a place is small.
        """
        return np.asarray(-np.log1p(self.masses(paths) / (len(self.feature) * self.window)))

    def masses(self, paths: list[Ints]) -> Floats:
        """Give river's sum of masses for each row."""
        trees = np.arange(len(self.feature))[:, None]
        going = np.ones(paths[0].shape, bool)
        total = np.zeros(paths[0].shape)
        for depth, node in enumerate(paths):
            mass = self.reference[trees, node]
            total += np.where(going, mass * float(2**depth), 0.0)
            going &= mass >= _SMALL * self.window
        return np.asarray(total.sum(axis=0))

    def learn(self, paths: list[Ints]) -> None:
        """Take rows in; each full window becomes the one that scores are made by."""
        count, begin = paths[0].shape[1], 0
        while begin < count:
            end = min(count, begin + self.window - self.seen)
            self._add([node[:, begin:end] for node in paths])
            self.seen += end - begin
            if self.seen == self.window:
                self.reference, self.latest = self.latest, np.zeros_like(self.latest)
                self.seen = 0
            begin = end

    def begin(self) -> None:
        """Score by what was seen of the first window so far, taken for a whole one."""
        if self.seen and not self.reference.any():
            self.reference = self.latest * self.window // self.seen
            self.latest, self.seen = np.zeros_like(self.latest), 0

    def _add(self, paths: list[Ints]) -> None:
        trees, nodes = self.latest.shape
        shift = (np.arange(trees) * nodes)[:, None]
        flat = np.concatenate([(node + shift).ravel() for node in paths])
        self.latest += np.bincount(flat, minlength=trees * nodes).reshape(trees, nodes)
