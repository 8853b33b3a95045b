"""Say what the usual relations between features leave unexplained: the residual of a PCA."""

from typing import Final, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
COMPONENTS: Final = 10
_JITTER: Final = 1e-9


class Residual:
    """Learn deviations' second moments; score rows by what the main directions do not explain.

    `second`: (features, features), exponentially weighted as in `moments.Moments`; `axes`:
    (features, components), orthonormal, renewed by `refit` and not by every row.
    """

    def __init__(
        self, features: int, components: int = COMPONENTS, memory: float = 50_000.0
    ) -> None:
        self.components = min(components, max(1, features // 3))
        self.memory = memory
        self.weight = 0.0
        self.second: Floats = np.zeros((features, features))
        self.axes: Floats = np.zeros((features, self.components))

    @classmethod
    def fitted(cls, deviations: Floats, components: int = COMPONENTS) -> Self:
        """Learn from deviations (n, features) at once, and fit."""
        made = cls(deviations.shape[1], components)
        made.learn(deviations)
        made.refit()
        return made

    def parts(self, deviations: Floats) -> Floats:
        """Give each feature's unexplained deviations (n, features), 0 or more; their sum scores."""
        explained = (deviations @ self.axes) @ self.axes.T
        return np.abs(deviations - explained)

    def learn(self, deviations: Floats) -> None:
        """Take rows in; what is explained changes at the next `refit`."""
        count = len(deviations)
        if not count:
            return
        kept = self.weight * float(np.exp(-count / self.memory))
        share = count / (kept + count)
        self.second = (1.0 - share) * self.second + share * (deviations.T @ deviations) / count
        self.weight = kept + count

    def refit(self) -> None:
        """Take the directions in which rows differ most as those that explain."""
        _, axes = np.linalg.eigh(self.second + _JITTER * np.eye(len(self.second)))
        self.axes = np.ascontiguousarray(axes[:, ::-1][:, : self.components])
