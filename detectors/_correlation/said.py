"""Read what a batch's claims name as numbers: each distinct text is looked at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.claim import BETWEEN, MOST_GROUPS
from detectors._correlation.lexicon import Column, lexicon
from detectors._correlation.slots import part_of_slot
from storage.schema.entity import JOINING
from storage.schema.finding import ENDS_PAIR

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Values:
    """Hold the values of one name as codes: those of row r are codes[ends[r] : ends[r + 1]]."""

    ends: Array
    codes: Array


class Said:
    """Give the values that claims name, as far as they are asked for, as codes of the lexicon."""

    def __init__(self, frame: pl.DataFrame) -> None:
        """Begin with rows of class 2004 as `pipelines.signals` makes them."""
        self._frame = frame
        self._lexicon = lexicon()
        self._more: list[str] = []
        self._columns: dict[Column, tuple[Array, Array]] = {}
        self._known: dict[str, Values] = {}

    def texts(self) -> pl.Series:
        """Give "kind:value" by code, and after those what was combined."""
        told = self._lexicon.texts
        return pl.concat([told, pl.Series(self._more, dtype=pl.String)]) if self._more else told

    def numbers(self) -> Array:
        """Give the codes' parts of a slot."""
        return self._lexicon.numbers

    def values(self, name: str) -> Values:
        """Give the values of a kind of entity, or of a field."""
        if name not in self._known:
            column: Column = "entities" if name in JOINING else "fields"
            rows, entries = self._entries(column)
            own = self._lexicon.named(column, name, entries)
            of, codes = self._lexicon.codes(column, entries[own])
            self._known[name] = self._once(rows[own][of], codes)
        return self._known[name]

    def combined(self, parts: Sequence[Array]) -> Array:
        """Give the values of several names together: numbers below 0, see `places`."""
        if len(parts) == 1:
            return parts[0]
        once, places = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)
        texts = self._lexicon.texts
        told = [texts[one].to_list() for one in once.T]
        begin = len(self._more)
        self._more += [BETWEEN.join(one) for one in zip(*told, strict=True)]
        return -1 - begin - places.reshape(-1)

    def places(self, codes: Array, texts: pl.Series) -> Array:
        """Give codes, combined ones too, as places in `texts`."""
        behind = len(texts) - len(self._more) - 1
        return np.where(codes < 0, behind - codes, codes)

    def _entries(self, column: Column) -> tuple[Array, Array]:
        """Give the rows of a column's pairs, and the entry of each."""
        if column not in self._columns:
            texts = self._frame.get_column(f"unmapped.{column}").fill_null("")
            lists = texts.str.split(ENDS_PAIR)
            rows = np.repeat(np.arange(self._frame.height), lists.list.len().to_numpy())
            self._columns[column] = rows, self._lexicon.entries(column, lists.explode())
        return self._columns[column]

    def _once(self, rows: Array, codes: Array) -> Values:
        """Keep each row's values once, the first 16 of them."""
        if len(rows) and not (rows[1:] > rows[:-1]).all():
            numbers = self._lexicon.numbers[codes]
            order = np.lexsort((numbers, rows))  # stable: of equal ones the first stays
            whose, what = rows[order], numbers[order]
            same = (whose[1:] == whose[:-1]) & (what[1:] == what[:-1])
            first = np.sort(order[np.append(True, ~same)])
            rows, codes = rows[first], codes[first]
            kept = nth(rows) < MOST_GROUPS
            rows, codes = rows[kept], codes[kept]
        counts = np.bincount(rows, minlength=self._frame.height)
        return Values(np.append(0, counts.cumsum()), codes)


def numbers_of(texts: Collection[str]) -> Array:
    """Give the texts' parts of a slot."""
    return np.fromiter(map(part_of_slot, texts), dtype=np.uint64, count=len(texts))


def spread(ends: Array, flat: Array, places: Array) -> tuple[Array, Array]:
    """Give flat[ends[p] : ends[p + 1]] of all places one after the other, and whose each is."""
    begins = ends[places]
    counts = ends[places + 1] - begins
    if len(counts) and counts.min() == 1 == counts.max():
        return np.arange(len(places)), flat[begins]
    of = np.repeat(np.arange(len(places)), counts)
    within = np.arange(len(of)) - np.repeat(counts.cumsum() - counts, counts)
    return of, flat[begins[of] + within]


def nth(of: Array) -> Array:
    """Give how many equal ones stand before each of a rising array."""
    return np.arange(len(of)) - np.searchsorted(of, of)


def distinct_of(texts: pl.Series) -> tuple[list[str], Array]:
    """Give the distinct texts, in order of first appearance, and each row's place among them."""
    coded = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
