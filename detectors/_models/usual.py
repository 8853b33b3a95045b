"""Hold what is usual of some entities as arrays while their windows are judged, then write it."""

from typing import Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._models.features import words_of
from detectors._models.spans import THINGS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_WORDS: Final = [column for name in THINGS for column in words_of(name)]
_BORROWED: Final = 8.0
"""Windows of its own that outweigh what an entity borrows from its peers."""
_MEMORY: Final = 500.0
_STEP: Final = 1.5
"""How far, in logs, a value may be from the usual when it is learned."""
USUAL: Final = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "last_us": pl.Int64(),
    "windows": pl.Int64(),
    "mean": pl.Binary(),
    **{column: pl.UInt64() for column in _WORDS},
}
"""Columns of the state table; `mean` = float64 numbers, a feature each."""


class Usual:
    """Entities by place: `last_us`, `windows` (n,), `mean` (n, features), `seen` (n, words)."""

    def __init__(self, keys: pl.DataFrame, features: int) -> None:
        count = keys.height
        self.keys = keys
        self.last_us: Ints = np.zeros(count, np.int64)
        self.windows: Ints = np.zeros(count, np.int64)
        self.mean: Floats = np.zeros((count, features))
        self.seen: Words = np.zeros((count, len(_WORDS)), np.uint64)

    @classmethod
    def read(cls, table: pl.DataFrame, keys: pl.DataFrame, features: int) -> Self:
        """Give what the table knows of these (tenant_id, key), in their order; zeros of the new."""
        made = cls(keys, features)
        known = keys.with_row_index("place").join(table, on=["tenant_id", "key"], how="inner")
        if known.height:
            place = known["place"].to_numpy()
            made.last_us[place] = known["last_us"].to_numpy()
            made.windows[place] = known["windows"].to_numpy()
            made.mean[place] = np.frombuffer(b"".join(known["mean"].to_list())).reshape(
                known.height, features
            )
            made.seen[place] = known.select(_WORDS).to_numpy()
        return made

    def table(self) -> pl.DataFrame:
        """Give the rows of the state table."""
        return self.keys.select(
            "tenant_id",
            "key",
            pl.Series("last_us", self.last_us),
            pl.Series("windows", self.windows),
            pl.Series("mean", [row.tobytes() for row in self.mean], pl.Binary()),
            *(pl.Series(name, self.seen[:, n]) for n, name in enumerate(_WORDS)),
        )

    def expected(self, place: Ints, peers: Floats) -> Floats:
        """Give the usual values of entities, their peers' while there is little of their own."""
        weight = np.minimum(self.windows[place], _MEMORY)[:, None].astype(np.float64)
        return np.asarray((weight * self.mean[place] + _BORROWED * peers) / (weight + _BORROWED))

    def learn(
        self,
        place: Ints,
        values: Floats,
        expected: Floats,
        words: npt.NDArray[np.uint64],
        at_us: int,
    ) -> None:
        """Take one window of each entity in; a strange value moves its mean by a bounded step."""
        count = self.windows[place][:, None]
        cut = np.where(
            count < _BORROWED, values, np.clip(values, expected - _STEP, expected + _STEP)
        )
        self.mean[place] += (cut - self.mean[place]) / (np.minimum(count, _MEMORY) + 1.0)
        self.windows[place] += 1
        self.seen[place] |= words
        self.last_us[place] = np.maximum(self.last_us[place], at_us)
