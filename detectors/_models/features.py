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
WORDS: Final = 4
BITS: Final = 64 * WORDS
_SEED: Final = 20_260_101


def words_of(name: str) -> list[str]:
    """Give the columns that hold a bitmap.

    >>> words_of("peers")
    ['peers_0', 'peers_1', 'peers_2', 'peers_3']
    """
    return [f"{name}_{word}" for word in range(WORDS)]


def bitmap(name: str, what: pl.Expr) -> list[pl.Expr]:
    """Give the aggregations that put each value of a text into the bitmap `name`; null is none."""
    place = what.hash(_SEED) % BITS
    bit = pl.lit(1, pl.UInt64()) * pl.lit(2, pl.UInt64()).pow(place % 64).cast(pl.UInt64())
    return [
        pl.when(what.is_not_null() & (place // 64 == word))
        .then(bit)
        .otherwise(pl.lit(0, pl.UInt64()))
        .bitwise_or()
        .alias(column)
        for word, column in enumerate(words_of(name))
    ]


def merged(names: Sequence[str]) -> list[pl.Expr]:
    """Give the aggregations that put bitmaps together."""
    return [pl.col(column).bitwise_or() for name in names for column in words_of(name)]


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
