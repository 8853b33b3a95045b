"""Keep each feature's usual value and spread, forgetting slowly, an hour-of-week profile beside."""

from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
HOURS: Final = 168
"""Hours of a week: 0 is Monday 00:00 UTC."""
CUT: Final = 10.0
"""Deviations at which a feature is cut: one feature alone cannot be all there is."""
_PRIOR: Final = 10.0
"""Rows of the whole week that an hour's own profile must outweigh."""


class Moments:
    """Exponentially weighted mean and variance of each feature: arrays of shape (features,).

    `memory`: rows after which a row counts 1/e; `least`: standard deviation below which none is
    taken to be: a feature that never moved may still move a little.
    """

    def __init__(self, features: int, memory: float = 50_000.0, least: float = 0.2) -> None:
        self.memory, self.least = memory, least
        self.weight = 0.0
        self.mean: Floats = np.zeros(features)
        self.square: Floats = np.zeros(features)

    @classmethod
    def fitted(cls, rows: Floats, memory: float = 50_000.0, least: float = 0.2) -> Self:
        """Learn from rows (n, features) at once."""
        made = cls(rows.shape[1], memory, least)
        made.learn(rows)
        return made

    @property
    def spread(self) -> Floats:
        """Give the standard deviation of each feature, at least `least`."""
        return np.maximum(np.sqrt(np.maximum(self.square, 0.0)), self.least)

    def deviations(self, rows: Floats, expected: Floats | None = None) -> Floats:
        """Give how many deviations each value is from its usual one, cut at `CUT` either way.

        `expected`: the usual values row by row, where a profile knows better than the mean.
        """
        usual = self.mean if expected is None else expected
        return np.clip((rows - usual) / self.spread, -CUT, CUT)

    def learn(self, rows: Floats) -> None:
        """Take rows in; the order within one call does not matter."""
        count = len(rows)
        if not count:
            return
        kept = self.weight * float(np.exp(-count / self.memory))
        share = count / (kept + count)
        mean = rows.mean(axis=0)
        apart = mean - self.mean
        within = ((rows - mean) ** 2).mean(axis=0)
        between = share * (1.0 - share) * apart**2
        self.square = (1.0 - share) * self.square + share * within + between
        self.mean = self.mean + share * apart
        self.weight = kept + count


class Profile:
    """Keep how each hour of the week differs from the mean, drawn to it while little is known.

    Shapes: `weight` (168,), `sums` (168, features).
    """

    def __init__(self, features: int, memory: float = 400.0) -> None:
        self.memory = memory
        self.weight: Floats = np.zeros(HOURS)
        self.sums: Floats = np.zeros((HOURS, features))

    def expected(self, hours: npt.NDArray[np.int64], mean: Floats) -> Floats:
        """Give the usual values of rows (n, features) that fall in these hours of the week."""
        weight = self.weight[hours][:, None]
        return mean + self.sums[hours] / (weight + _PRIOR)

    def learn(self, hours: npt.NDArray[np.int64], rows: Floats, mean: Floats) -> None:
        """Take in how rows differ from the mean."""
        counts = np.bincount(hours, minlength=HOURS).astype(np.float64)
        fade = np.exp(-counts / self.memory)
        self.sums *= fade[:, None]
        np.add.at(self.sums, hours, rows - mean)
        self.weight = self.weight * fade + counts
