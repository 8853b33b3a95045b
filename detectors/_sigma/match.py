"""Evaluate the rules of one route over its rows: shared automata first, rows last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from ahocorasick_rs import BytesAhoCorasick

from detectors._sigma.atoms import END, START, Atom, Tree
from detectors._sigma.fields import Rows
from detectors._sigma.values import Values

Mask = npt.NDArray[np.bool_]
_WINDOW: Final = 1 << 18
"""Bytes searched at once: bounds what hostile values can make the automaton report."""


@dataclass(frozen=True, slots=True)
class _FieldTests:
    """The atoms of one field: `needles[i]` belongs to the atoms `owners[i]`."""

    name: str
    atoms: tuple[int, ...]
    needles: tuple[bytes, ...]
    owners: tuple[tuple[int, ...], ...]
    automaton: BytesAhoCorasick | None
    longest: int


class Program:
    """Hold the rules of one route, compiled: trees over the atoms they share.

    `trees`: one a rule; atoms are numbered by `atoms`.
    """

    def __init__(self, atoms: Sequence[Atom], trees: Sequence[Tree]) -> None:
        """Build automata and the necessary conditions; cost grows with the literals."""
        self.atoms = tuple(atoms)
        self.trees = tuple(trees)
        names = sorted({a.field for a in self.atoms})
        self._fields = tuple(_tests(name, self.atoms) for name in names)
        self._needs = _Needs([needs(t) for t in self.trees], len(self.atoms))

    def run(self, rows: Rows) -> "Run":
        """Look at the rows; the Run answers which rules hit which of them."""
        run = Run(self, rows)
        for tests in self._fields:
            if tests.name:
                run.add(tests, rows.field(tests.name))
            else:
                run.add_all(tests)
        return run

    def possible(self, can: Mask) -> npt.NDArray[np.intp]:
        """Give the rules whose necessary atoms can all hold."""
        return self._needs.met(can)


def _tests(name: str, atoms: Sequence[Atom]) -> _FieldTests:
    mine = [i for i, a in enumerate(atoms) if a.field == name]
    owners: dict[str, list[int]] = {}
    for i in mine:
        if atoms[i].needle:
            owners.setdefault(atoms[i].needle, []).append(i)
    needles = tuple(n.encode() for n in owners)
    return _FieldTests(
        name,
        tuple(mine),
        needles,
        tuple(tuple(v) for v in owners.values()),
        BytesAhoCorasick(needles) if needles else None,
        max(map(len, needles), default=0),
    )


def needs(tree: Tree) -> list[frozenset[int]]:
    """Give groups of atoms of which one each must hold for the tree to hold.

    >>> needs(("and", (1, ("or", (2, 3)), ("not", (4,)))))
    [frozenset({1}), frozenset({2, 3})]
    """
    if isinstance(tree, int):
        return [frozenset({tree})]
    word, parts = tree
    if word == "not":
        return []
    if word == "and":
        return [group for part in parts for group in needs(part)]
    groups = [needs(part) for part in parts]
    if not all(groups):
        return []
    return [frozenset().union(*(min(g, key=len) for g in groups))]


class _Needs:
    """Test the necessary groups of all rules at once."""

    def __init__(self, rules: Sequence[Sequence[frozenset[int]]], always: int) -> None:
        # An atom number past the last stands for "true": a rule that needs nothing.
        groups = [sorted(g) for rule in rules for g in (rule or [frozenset({always})])]
        sizes = np.array([len(g) for g in groups], dtype=np.intp)
        counts = np.array([len(rule) or 1 for rule in rules], dtype=np.intp)
        self._atoms = np.array([a for g in groups for a in g], dtype=np.intp)
        self._group_starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp)
        self._rule_starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.intp)

    def met(self, can: Mask) -> npt.NDArray[np.intp]:
        if not len(self._atoms):
            return np.empty(0, dtype=np.intp)
        flat = np.append(can, True)[self._atoms]
        groups = np.logical_or.reduceat(flat, self._group_starts)
        return np.flatnonzero(np.logical_and.reduceat(groups, self._rule_starts))


@dataclass(slots=True)
class _Looked:
    """One column that was looked at: its distinct values and the atoms' hits among them."""

    values: Values
    hits: Mapping[int, npt.NDArray[np.intp]]


@dataclass(slots=True)
class Run:
    """Answer for one set of rows: which rules hit, where and why."""

    program: Program
    rows: Rows
    _looked: dict[str, _Looked] = field(default_factory=dict)
    _can: Mask = field(init=False)
    _masks: dict[int, Mask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing possible but what needs no value."""
        self._can = np.array([a.op == "null" for a in self.program.atoms], dtype=np.bool_)

    def add(self, tests: _FieldTests, column: pl.Series | None) -> None:
        """Take in one column of a field: find the needles in its distinct values."""
        if column is None:
            return
        self._look(tests, Values(column))

    def add_all(self, tests: _FieldTests) -> None:
        """Take in every column in which a keyword may stand, one under the other."""
        stacked = self.rows.stacked()
        if stacked.height:
            places = stacked.get_column("row").to_numpy().astype(np.intp)
            self._look(tests, Values(stacked.get_column("value"), places, len(self.rows)))

    def _look(self, tests: _FieldTests, values: Values) -> None:
        hits = _search(tests, values)
        self._looked[tests.name] = _Looked(values, hits)
        for i in tests.atoms:
            if i in hits or not self.program.atoms[i].needle:
                self._can[i] = True

    def hits(self) -> Iterator[tuple[int, Mask]]:
        """Give each rule that hits with its rows (Boolean, one a row)."""
        for rule in self.program.possible(self._can):
            mask = self._tree(self.program.trees[rule])
            if mask.any():
                yield int(rule), mask

    def why(self, rule: int, row: int) -> list[tuple[Atom, str]]:
        """Give the atoms that made the rule hit this row, with the value each saw."""
        found: list[tuple[Atom, str]] = []
        for number in self._true_leaves(self.program.trees[rule], row):
            atom = self.program.atoms[number]
            found.append((atom, self._seen(number, row)))
        return found

    def _true_leaves(self, tree: Tree, row: int) -> Iterator[int]:
        if isinstance(tree, int):
            if self._atom(tree)[row]:
                yield tree
        elif tree[0] != "not" and self._tree(tree)[row]:
            for part in tree[1]:
                yield from self._true_leaves(part, row)

    def _seen(self, number: int, row: int) -> str:
        atom, looked = (
            self.program.atoms[number],
            self._looked.get(self.program.atoms[number].field),
        )
        if looked is None:
            return ""
        if atom.op in ("ref", "null"):
            table = np.arange(len(looked.values)) < len(looked.values) - 1  # any value, not null
        else:
            table = self._table(atom, number, looked)
        return looked.values.seen(row, table) or ""

    def _tree(self, tree: Tree) -> Mask:
        if isinstance(tree, int):
            return self._atom(tree)
        word, parts = tree
        if word == "not":
            return ~self._tree(parts[0])
        mask = self._tree(parts[0])
        for part in parts[1:]:
            if word == "and":
                if not mask.any():
                    break
                mask = mask & self._tree(part)
            elif word == "or":
                mask = mask | self._tree(part)
        return mask

    def _atom(self, number: int) -> Mask:
        mask = self._masks.get(number)
        if mask is None:
            mask = self._masks[number] = self._evaluate(number)
        return mask

    def _evaluate(self, number: int) -> Mask:
        atom = self.program.atoms[number]
        looked = self._looked.get(atom.field)
        if atom.op == "null":
            return ~self._nothing() if looked is None else ~looked.values.is_there
        if looked is None or not self._can[number]:
            return self._nothing()
        if atom.op == "ref":
            return looked.values.compared(self.rows.field(atom.text), atom.more)
        return looked.values.rows(self._table(atom, number, looked))

    def _table(self, atom: Atom, number: int, looked: _Looked) -> Mask:
        if not atom.needle:
            return looked.values.passing(atom)
        found = looked.hits.get(number)
        if found is None:
            return looked.values.marked(np.empty(0, dtype=np.intp))
        if atom.op == "pattern":
            found = looked.values.verified(atom, found)
        return looked.values.marked(found)

    def _nothing(self) -> Mask:
        return np.zeros(len(self.rows), dtype=np.bool_)


def _search(tests: _FieldTests, values: Values) -> dict[int, npt.NDArray[np.intp]]:
    """Find the needles in the distinct values: atom -> positions of the values that hold one."""
    if tests.automaton is None:
        return {}
    text, starts = values.haystack(START, END)
    pairs: list[npt.NDArray[np.int64]] = []
    step = max(_WINDOW, tests.longest * 2)
    for at in range(0, len(text), step):
        # Windows overlap by the longest needle, so that none is cut in two.
        piece = text[at : at + step + tests.longest]
        found = tests.automaton.find_matches_as_indexes(piece, overlapping=True)
        if found:
            flat = np.array(found, dtype=np.int64)
            value = np.searchsorted(starts, flat[:, 1] + at, side="right") - 1
            pairs.append(np.unique(flat[:, 0] * len(starts) + value))
    if not pairs:
        return {}
    keys = np.unique(np.concatenate(pairs))
    needle, value = np.divmod(keys, len(starts))
    cuts = np.flatnonzero(np.diff(needle)) + 1
    heads = needle[np.concatenate(([0], cuts))]
    hits: dict[int, npt.NDArray[np.intp]] = {}
    for head, found_values in zip(heads.tolist(), np.split(value, cuts), strict=True):
        for atom in tests.owners[head]:
            hits[atom] = found_values
    return hits
