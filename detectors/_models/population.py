"""Judge the windows of one kind of entity of one tenant, slot by slot, with a model that grows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors._models.ensemble import Ensemble, Scored, Sizes
from detectors._models.keep import ensemble_of, numbers_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_SIZES: Final = Sizes(trees=25, height=6, window=500, kept=2_048, directions=64, single=3.0)
_PEERS_MEMORY: Final = 5_000.0
_KNOWN_DAYS: Final = 50.0


@dataclass(slots=True)
class Population:
    """The peers' mean values, and the model; before `first` rows are there, those waiting.

    `peers`: (features,); `weight`: rows that it rests on; `days`: on how many days of entities;
    `waiting`: rows as the model will see them, with the hour of the week in the last column.
    """

    first: int
    peers: Floats
    weight: float = 0.0
    days: float = 0.0
    model: Ensemble | None = None
    waiting: Floats | None = None

    def score(self, rows: Floats, hours: Ints) -> Scored | None:
        """Score rows and learn the calm ones; None while there is no model yet."""
        if self.model is not None:
            return self.model.score_and_learn(rows, hours)
        fresh = np.hstack([rows, hours[:, None].astype(np.float64)])
        waiting = fresh if self.waiting is None else np.vstack([self.waiting, fresh])
        self.waiting = waiting
        if len(waiting) >= self.first:
            hour = waiting[:, -1].astype(np.int64)
            self.model = Ensemble.fitted(waiting[:, :-1], hour, sizes=_SIZES)
            self.waiting = None
        return None

    def learn_peers(self, values: Floats, days: int) -> None:
        """Move the peers' mean by the windows of a slot; `days`: how many begin an entity's day."""
        fade = float(np.exp(-len(values) / _PEERS_MEMORY))
        self.weight = self.weight * fade + len(values)
        self.days = self.days * fade + days
        self.peers = self.peers + (values.mean(axis=0) - self.peers) * len(values) / self.weight

    def a_day(self, most: float) -> float:
        """Give how many windows an entity has on a day that it is seen; `most` if not known yet."""
        return min(self.weight / self.days, most) if self.days >= _KNOWN_DAYS else most

    def numbers(self) -> dict[str, Floats]:
        """Give everything as named rows of numbers."""
        told = numbers_of(self.model) if self.model is not None else {}
        if self.waiting is not None:
            told["waiting"] = self.waiting.ravel()
        return {**told, "peers": np.concatenate([[self.weight, self.days], self.peers])}


def population_of(numbers: Mapping[str, Floats], features: int, first: int) -> Population:
    """Give the population that wrote these numbers; a new one if there are none."""
    if "peers" not in numbers:
        return Population(first, np.zeros(features))
    weight, days, *peers = numbers["peers"].tolist()
    made = Population(first, np.array(peers), weight, days)
    if "shape" in numbers:
        made.model = ensemble_of(numbers)
    if "waiting" in numbers:
        made.waiting = numbers["waiting"].reshape(-1, 2 * features + 1).copy()
    return made
