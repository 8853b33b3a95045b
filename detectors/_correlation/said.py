"""Read what a batch's claims name as numbers: each distinct text is looked at once.

A code is the place of a "kind:value", as it stands in a group's key, among the batch's `texts`,
place 0 being nothing. One text may have several codes; its number is the same everywhere.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.claim import BETWEEN, MOST_GROUPS, short, told_by
from detectors._correlation.slots import part_of_slot
from storage.schema import canonical, is_joining
from storage.schema.entity import JOINING
from storage.schema.finding import ENDS_NAME, ENDS_PAIR

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Values:
    """Hold the values of one name as codes: those of row r are codes[ends[r] : ends[r + 1]]."""

    ends: Array
    codes: Array


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Hold a column's pairs: the row of each, and its place among the distinct ones.

    `name`: the name's number in `names` of each distinct one; `ends` and `codes`: its values.
    """

    rows: Array
    places: Array
    names: dict[str, int]
    name: Array
    ends: Array
    codes: Array


class Said:
    """Give the values that claims name, as far as they are asked for."""

    def __init__(self, frame: pl.DataFrame) -> None:
        """Begin with rows of class 2004 as `pipelines.signals` makes them."""
        self._frame = frame
        self._texts = [""]
        self._numbers = [0]
        self._columns: dict[str, _Pairs] = {}
        self._known: dict[str, Values] = {}

    def texts(self) -> pl.Series:
        """Give "kind:value" by code."""
        return pl.Series(self._texts, dtype=pl.String)

    def numbers(self) -> Array:
        """Give the codes' parts of a slot."""
        return np.array(self._numbers, dtype=np.uint64)

    def values(self, name: str) -> Values:
        """Give the values of a kind of entity, or of a field."""
        if name not in self._known:
            pairs = self._pairs("entities" if name in JOINING else "fields")
            is_own = pairs.name == pairs.names.get(name, -1)
            own = np.flatnonzero(is_own[pairs.places])
            of, codes = spread(pairs.ends, pairs.codes, pairs.places[own])
            self._known[name] = self._once(pairs.rows[own][of], codes)
        return self._known[name]

    def combined(self, parts: Sequence[Array]) -> Array:
        """Give the codes of several values together, where more than one is counted."""
        if len(parts) == 1:
            return parts[0]
        once, places = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)
        told = [BETWEEN.join(self._texts[code] for code in one) for one in once.tolist()]
        self._texts += told
        self._numbers += [0] * len(told)  # by these nothing is grouped
        return places.reshape(-1) + (len(self._texts) - len(told))

    def _pairs(self, column: str) -> _Pairs:
        if column not in self._columns:
            texts = self._frame.get_column(f"unmapped.{column}").fill_null("")
            lists = texts.str.split(ENDS_PAIR)
            counts = lists.list.len().to_numpy()
            distinct, places = distinct_of(lists.explode())
            told = _READERS[column].read(distinct)
            kinds, said, numbers = zip(*told, strict=True) if told else ((), (), ())
            names = {name: number for number, name in enumerate(dict.fromkeys(kinds))}
            begin = len(self._texts)
            self._texts += itertools.chain.from_iterable(said)
            self._numbers += itertools.chain.from_iterable(numbers)
            self._columns[column] = _Pairs(
                np.repeat(np.arange(self._frame.height), counts),
                places,
                names,
                np.array([*map(names.__getitem__, kinds)], dtype=np.int64),
                np.append(0, np.cumsum([*map(len, said)], dtype=np.int64)),
                np.arange(begin, len(self._texts)),
            )
        return self._columns[column]

    def _once(self, rows: Array, codes: Array) -> Values:
        """Keep each row's values once, the first 16 of them."""
        if len(rows) and not (rows[1:] > rows[:-1]).all():
            numbers = np.array([self._numbers[code] for code in codes], dtype=np.uint64)
            order = np.lexsort((numbers, rows))  # stable: of equal ones the first stays
            same = (rows[order][1:] == rows[order][:-1]) & (
                numbers[order][1:] == numbers[order][:-1]
            )
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


_Read = tuple[str, tuple[str, ...], tuple[int, ...]]
"""A kind of entity or a field, its values as "kind:value", and their parts of a slot."""
_NOBODY: Final[_Read] = ("", (), ())


def _entity(said: str) -> _Read:
    """Read an entity as one of the kind by which it joins claims."""
    kind, _, text = said.partition(ENDS_NAME)
    pair = canonical(kind, text)
    if not pair[1] or not is_joining(*pair):
        return _NOBODY
    told = f"{pair[0]}:{short(pair[1])}"
    return pair[0], (told,), (part_of_slot(told),)


def _field(said: str) -> _Read:
    """Read a field, which may hold several values."""
    name, _, text = said.partition(ENDS_NAME)
    told = tuple(f"{kind}:{short(value)}" for kind, value in told_by(name, text) if value)
    return name, told, tuple(part_of_slot(one) for one in told)


class _Reader:
    """Read texts, each once while it is remembered; what is remembered is bounded."""

    def __init__(self, read: Callable[[str], _Read]) -> None:
        self._read = read
        self._known: dict[str, _Read] = {}

    def read(self, texts: Sequence[str]) -> list[_Read]:
        """Read texts that are all different."""
        known = self._known
        found = [*map(known.get, texts)]
        if None in found:
            if len(known) > _MOST_KNOWN:
                known.clear()
            found = [one or self._read(text) for one, text in zip(found, texts, strict=True)]
            known.update(zip(texts, found, strict=True))
        return [one for one in found if one]


_MOST_KNOWN: Final = 65_536
_READERS: Final[Mapping[str, _Reader]] = {"entities": _Reader(_entity), "fields": _Reader(_field)}
