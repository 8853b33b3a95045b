"""Count different things by bitmaps of 256 bits (linear counting), and what of them is new.

Bitmaps merge by OR, so that the answer does not depend on how the stream is cut; they are plain
numbers; and the bits an entity never had before are what is new to it. Up to about a thousand
things are told apart; more is many. (A HyperLogLog of the same size is surer of large numbers, but
cannot say what is new.)
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
WORDS: Final = 4
BITS: Final = 64 * WORDS
_SEED: Final = 20_260_101


def words_of(name: str) -> list[str]:
    """Give the columns that hold a bitmap.

    >>> words_of("peers")
    ['peers_0', 'peers_1', 'peers_2', 'peers_3']
    """
    return [f"{name}_{word}" for word in range(WORDS)]


def places_of(what: pl.Series) -> Places:
    """Give the bit, 0 to BITS - 1, of each value of a text; -1 where it is null."""
    told = np.full(len(what), -1, np.int64)
    rows = np.flatnonzero(what.is_not_null().to_numpy())
    told[rows] = (what.gather(rows).hash(_SEED).to_numpy() % np.uint64(BITS)).astype(np.int64)
    return told


def words_at(places: Places, group: Places, groups: int) -> Words:
    """Give a bitmap (groups, WORDS) for each group of rows, of the bits of its rows.

    >>> words_at(np.array([0, 65, -1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 2, 0, 0], [0, 0, 0, 0]]
    """
    bits = np.zeros((groups, BITS), bool)
    is_there = places >= 0
    bits[group[is_there], places[is_there]] = True
    return np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def in_groups(
    frame: pl.DataFrame, place: Sequence[str], *more: pl.Expr
) -> tuple[pl.DataFrame, Places, Places]:
    """Put rows of the same place together, in order of their first.

    Gives the groups with the aggregations; the rows, group after group; where each group begins.
    """
    rows = frame.with_row_index("_row").group_by(place, maintain_order=True)
    told = rows.agg(pl.col("_row"), *more)
    order = told["_row"].explode().to_numpy().astype(np.int64)
    begins = np.concatenate([[0], told["_row"].list.len().cum_sum().to_numpy()])[:-1]
    return told.drop("_row"), order, begins.astype(np.int64)


def how_many(words: Words) -> Floats:
    """Estimate how many different things each bitmap (n, WORDS) holds.

    >>> how_many(np.zeros((1, WORDS), np.uint64)).tolist()
    [0.0]
    """
    bits = np.bitwise_count(words).sum(axis=1, dtype=np.float64)
    return np.asarray(BITS * np.log(BITS / np.maximum(BITS - bits, 0.5)))


def how_many_new(words: Words, seen: Words) -> Floats:
    """Estimate how many of the things in bitmaps (n, WORDS) are not in those `seen`."""
    return np.asarray(np.maximum(how_many(words | seen) - how_many(seen), 0.0))


def hour_of_week(time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give the hour of the week, 0 = Monday 00:00 UTC, of moments in µs.

    >>> hour_of_week(np.array([0])).tolist()
    [72]
    """
    return np.asarray((time_us // 3_600_000_000 + 72) % 168)


def schema_of(counts: Sequence[str], bitmaps: Sequence[str]) -> Mapping[str, pl.DataType]:
    """Give the columns of such a row, for a state table."""
    words = {column: pl.UInt64() for name in bitmaps for column in words_of(name)}
    return {**{name: pl.Int64() for name in counts}, **words}
