"""Find the literals of one field's tests in its distinct values, all in one pass."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from ahocorasick_rs import BytesAhoCorasick

from detectors._sigma.atoms import Atom
from detectors._sigma.texts import Indexes, Mask
from detectors._sigma.values import Stacked, Values

_WINDOW: Final = 1 << 18
"""Bytes searched at once: bounds what hostile values can make the automaton report."""
_MANY: Final = 1024
"""Distinct values from which on frequent literals are left out of the automaton."""
_OFTEN: Final = 8
_MOST_FREQUENT: Final = 64


@dataclass(frozen=True, slots=True)
class Found:
    """Say which values hold an atom's literal; of the `untold` atoms it was not looked up."""

    hits: Mapping[int, Indexes]
    untold: AbstractSet[int]


class FieldTests:
    """Hold the atoms of one field: `needles[i]` belongs to the atoms `owners[i]`.

    A literal that stands in every eighth value ('0', '.exe') costs more to report than it saves.
    Once seen in a large batch it is left out of the automaton for large ones: its atoms count as
    possible, and those that are still asked for are tested one by one.
    """

    def __init__(self, name: str, atoms: Sequence[Atom], numbers: Sequence[int]) -> None:
        """Take the field's atoms by their numbers."""
        self.name = name
        self.without_needle = tuple(i for i in numbers if not atoms[i].needle)
        owners: dict[str, list[int]] = {}
        for i in numbers:
            if atoms[i].needle:
                owners.setdefault(atoms[i].needle, []).append(i)
        self._needles = tuple(n.encode() for n in owners)
        self._owners = tuple(tuple(v) for v in owners.values())
        self._longest = max(map(len, self._needles), default=0)
        self._all = _Automaton.of(self._needles, ())
        self._large = self._all

    def search(self, values: Values | Stacked) -> Found:
        """Find the needles in the distinct values."""
        texts, kept = values.texts, None
        if values.used is not None and np.count_nonzero(values.used) * 2 < len(texts):
            texts, kept = texts.part(values.used), np.flatnonzero(values.used)
        is_large = len(texts) > _MANY
        automaton = self._large if is_large else self._all
        if automaton.machine is None:
            return Found({}, self._of(automaton.left_out))
        text, starts = texts.haystack
        pairs: list[npt.NDArray[np.int64]] = []
        for at in range(0, len(text), _WINDOW):
            # Windows overlap by the longest needle, so that none is cut in two.
            piece = text[at : at + _WINDOW + self._longest]
            found = automaton.machine.find_matches_as_indexes(piece, overlapping=True)
            if found:
                pairs.append(_keys(found, at, starts))
        hits = self._hits(automaton, pairs, len(starts), kept, values.used)
        if is_large:
            self._learn(automaton, hits, len(starts))
        owned = {i: v for n, v in hits.items() for i in self._owners[n]}
        return Found(owned, self._of(automaton.left_out))

    def _of(self, needles: Iterable[int]) -> AbstractSet[int]:
        return frozenset(i for n in needles for i in self._owners[n])

    def _hits(
        self,
        automaton: "_Automaton",
        pairs: Sequence[npt.NDArray[np.int64]],
        size: int,
        kept: Indexes | None,
        used: Mask | None,
    ) -> dict[int, Indexes]:
        if not pairs:
            return {}
        keys = pairs[0] if len(pairs) == 1 else _distinct(np.concatenate(pairs))
        needle, value = np.divmod(keys, size)
        if kept is not None:
            value = kept[value]
        elif used is not None:
            is_used = used[value]
            needle, value = needle[is_used], value[is_used]
            if not len(value):
                return {}
        cuts = np.flatnonzero(np.diff(needle)) + 1
        heads = needle[np.concatenate(([0], cuts))]
        places = (automaton.needles[head] for head in heads.tolist())
        return dict(zip(places, np.split(value, cuts), strict=True))

    def _learn(self, automaton: "_Automaton", hits: Mapping[int, Indexes], size: int) -> None:
        often = [n for n, values in hits.items() if len(values) * _OFTEN > size]
        if often and len(automaton.left_out) + len(often) <= _MOST_FREQUENT:
            self._large = _Automaton.of(self._needles, (*automaton.left_out, *often))


@dataclass(frozen=True, slots=True)
class _Automaton:
    """One automaton over some needles; `needles`: their numbers, in its order."""

    machine: BytesAhoCorasick | None
    needles: tuple[int, ...]
    left_out: tuple[int, ...]

    @classmethod
    def of(cls, needles: Sequence[bytes], left_out: tuple[int, ...]) -> "_Automaton":
        without = frozenset(left_out)
        kept = tuple(i for i in range(len(needles)) if i not in without)
        machine = BytesAhoCorasick([needles[i] for i in kept]) if kept else None
        return cls(machine, kept, left_out)


def _keys(
    found: Sequence[tuple[int, int, int]], at: int, starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Give needle * number of values + value for each match, sorted, each once."""
    whole = itertools.chain.from_iterable(found)
    flat = np.fromiter(whole, dtype=np.int64, count=3 * len(found)).reshape(-1, 3)
    value = np.searchsorted(starts, flat[:, 1] + at, side="right") - 1
    return _distinct(flat[:, 0] * len(starts) + value)


def _distinct(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    # numpy's own unique hashes large arrays, which is many times slower than sorting them.
    keys = np.sort(keys)
    is_new = np.empty(len(keys), dtype=np.bool_)
    is_new[0] = True
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return keys[is_new]
