"""Remember how the texts of claims were read: each is read once, then found by a number.

A code is the place of a "kind:value", as it stands in a group's key, among the lexicon's `texts`,
place 0 being nothing. One text may have several codes; its number is the same everywhere.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.claim import short, told_by
from detectors._correlation.slots import part_of_slot
from storage.schema import canonical, is_joining
from storage.schema.finding import ENDS_NAME

Array = npt.NDArray[Any]
Column = Literal["entities", "fields"]
Read = tuple[str, list[str]]
"""A kind of entity or the name of a field, and its values as "kind:value"."""
Hash = Callable[[pl.Series], Array]
_MOST_TEXTS: Final = 65_536
_MOST_BYTES: Final = 16 << 20
_NOBODY: Final[Read] = ("", [])
_NONE: Final = np.empty(0, dtype=np.int64)


def read_entity(said: str) -> Read:
    r"""Read an entity as one of the kind by which it joins claims.

    >>> read_entity("mailbox\x1fann.lee@corp.example"), read_entity("process\x1fcmd.exe")
    (('user', ['user:ann.lee']), ('', []))
    """
    kind, _, text = said.partition(ENDS_NAME)
    pair = canonical(kind, text)
    if not pair[1] or not is_joining(*pair):
        return _NOBODY
    return pair[0], [f"{pair[0]}:{short(pair[1])}"]


def read_field(said: str) -> Read:
    r"""Read a field, which may hold several values.

    >>> read_field("src_endpoint.ip\x1f192.0.2.1"), read_field("vendor.uid\x1fV-9")
    (('src_endpoint.ip', ['ip:192.0.2.1']), ('vendor.uid', [':v-9']))
    """
    name, _, text = said.partition(ENDS_NAME)
    return name, [f"{kind}:{short(value)}" for kind, value in told_by(name, text) if value]


def hashed(texts: pl.Series) -> Array:
    """Give a number of each text, by which it is looked up; what it finds is compared."""
    found: Array = texts.hash().to_numpy()
    return found


class _Page:
    """Hold the entries of one column: `name` of each, and its codes, that begin at `begin`."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        self.read = read
        self.raw = pl.Series(dtype=pl.String)
        self.names: dict[str, int] = {}
        self.name = self.begin = self.count = self.entry = _NONE
        self.hashes = np.empty(0, dtype=np.uint64)


class Lexicon:
    """Find the entries of texts; only ever grows, so that codes stay what they are."""

    def __init__(self, hash_: Hash = hashed) -> None:
        """Begin empty. `hash_`: numbers of texts; equal ones cost time, and no more."""
        self._hash = hash_
        self._lock = threading.Lock()
        self._pages: Mapping[Column, _Page] = {
            "entities": _Page(read_entity),
            "fields": _Page(read_field),
        }
        self._bytes = 0
        self.texts = pl.Series([""], dtype=pl.String)
        self.numbers: Array = np.zeros(1, dtype=np.uint64)

    @property
    def is_full(self) -> bool:
        """Answer whether a new one should be begun."""
        return len(self.texts) > _MOST_TEXTS or self._bytes > _MOST_BYTES

    def entries(self, column: Column, said: pl.Series) -> Array:
        """Give the entry of each text of a column."""
        if said.is_empty():
            return _NONE
        with self._lock:
            return self._entries(self._pages[column], said)

    def named(self, column: Column, name: str, entries: Array) -> Array:
        """Give the places of entries of a kind or name."""
        page = self._pages[column]
        return np.flatnonzero(page.name[entries] == page.names.get(name, -1))

    def codes(self, column: Column, entries: Array) -> tuple[Array, Array]:
        """Give the entries' codes one after the other, and whose each is."""
        page = self._pages[column]
        begin, count = page.begin[entries], page.count[entries]
        if len(count) and count.min() == 1 == count.max():
            return np.arange(len(entries)), begin
        of = np.repeat(np.arange(len(entries)), count)
        within = np.arange(len(of)) - np.repeat(count.cumsum() - count, count)
        return of, begin[of] + within

    def _entries(self, page: _Page, said: pl.Series) -> Array:
        hashes = self._hash(said)
        order = np.argsort(hashes)
        opens = np.append(True, hashes[order][1:] != hashes[order][:-1])
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.cumsum(opens) - 1
        first = order[opens]
        once = hashes[first]
        at = np.searchsorted(page.hashes, once)
        is_new = np.append(page.hashes, 0)[at] != once
        is_new |= at == len(page.hashes)
        if is_new.any():
            fresh = self._learn(page, said[first[is_new]].to_list())
            both = np.append(page.hashes, once[is_new])
            sort = np.argsort(both)
            page.hashes, page.entry = both[sort], np.append(page.entry, fresh)[sort]
            at = np.searchsorted(page.hashes, once)
        found: Array = page.entry[at][places]
        # Somebody may make texts of one hash: they must not be taken for each other.
        wrong = np.flatnonzero((page.raw[found] != said).to_numpy())
        if len(wrong):
            texts = said[wrong].to_list()
            own = dict.fromkeys(texts)
            learned = dict(zip(own, self._learn(page, [*own]).tolist(), strict=True))
            found[wrong] = [learned[text] for text in texts]
        return found

    def _learn(self, page: _Page, texts: list[str]) -> Array:
        """Read texts; give their new entries."""
        told = [page.read(text) for text in texts]
        values = [value for _, one in told for value in one]
        count = np.array([len(one) for _, one in told], dtype=np.int64)
        begin = len(self.texts) + count.cumsum() - count
        names = [page.names.setdefault(name, len(page.names)) for name, _ in told]
        size = len(page.raw)
        raw, fresh = pl.Series(texts, dtype=pl.String), pl.Series(values, dtype=pl.String)
        page.raw = pl.concat([page.raw, raw], rechunk=True)
        page.name = np.append(page.name, names)
        page.begin, page.count = np.append(page.begin, begin), np.append(page.count, count)
        numbers = np.array([part_of_slot(value) for value in values], dtype=np.uint64)
        self.numbers = np.append(self.numbers, numbers)
        self.texts = pl.concat([self.texts, fresh], rechunk=True)
        self._bytes += int(raw.estimated_size() + fresh.estimated_size())
        return np.arange(size, len(page.raw))


_CURRENT: Final = [Lexicon()]


def lexicon() -> Lexicon:
    """Give the lexicon of this process; a full one is left to those that still read in it."""
    if _CURRENT[0].is_full:
        _CURRENT[0] = Lexicon()
    return _CURRENT[0]
