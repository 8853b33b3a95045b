"""Evaluate the rules of one route over its rows: shared automata first, rows last."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from detectors._sigma.atoms import Atom, Tree
from detectors._sigma.fields import Rows
from detectors._sigma.search import FieldTests, Found
from detectors._sigma.values import Stacked, Values

Mask = npt.NDArray[np.bool_]


class Program:
    """Hold the rules of one route, compiled: trees over the atoms they share.

    `trees`: one a rule; atoms are numbered by `atoms`.
    """

    def __init__(self, atoms: Sequence[Atom], trees: Sequence[Tree]) -> None:
        """Build automata and the necessary conditions; cost grows with the literals."""
        self.atoms = tuple(atoms)
        self.trees = tuple(trees)
        self.nulls = bytes(a.op == "null" for a in self.atoms)
        names = sorted({a.field for a in self.atoms})
        of: dict[str, list[int]] = {name: [] for name in names}
        for number, atom in enumerate(self.atoms):
            of[atom.field].append(number)
        self._fields = tuple(FieldTests(name, self.atoms, of[name]) for name in names)
        self._needs = _Needs([needs(t) for t in self.trees], len(self.atoms))

    def run(self, rows: Rows) -> "Run":
        """Look at the rows; the Run answers which rules hit which of them."""
        run = Run(self, rows)
        for tests in self._fields:
            run.add(tests, rows.values(tests.name) if tests.name else rows.stacked)
        return run

    def possible(self, can: bytearray) -> npt.NDArray[np.intp]:
        """Give the rules whose necessary atoms can all hold."""
        return self._needs.met(np.frombuffer(can, dtype=np.bool_))


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

    values: Values | Stacked
    found: Found


@dataclass(slots=True)
class Run:
    """Answer for one set of rows: which rules hit, where and why."""

    program: Program
    rows: Rows
    _looked: dict[str, _Looked] = field(default_factory=dict)
    _can: bytearray = field(init=False)
    _masks: dict[int, Mask | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing possible but what needs no value."""
        self._can = bytearray(self.program.nulls)

    def add(self, tests: FieldTests, values: Values | Stacked | None) -> None:
        """Take in one field's distinct values (None: no row has it): find the needles in them."""
        if values is None or values.is_empty:
            return
        found = tests.search(values)
        self._looked[tests.name] = _Looked(values, found)
        for i in itertools.chain(tests.without_needle, found.untold, found.hits):
            self._can[i] = 1

    def hits(self) -> Iterator[tuple[int, Mask]]:
        """Give each rule that hits with its rows (Boolean, one a row)."""
        for rule in self.program.possible(self._can).tolist():
            mask = self._tree(self.program.trees[rule])
            if mask is not None and mask.any():
                yield rule, mask

    def why(self, rule: int, row: int) -> list[tuple[Atom, str]]:
        """Give the atoms that made the rule hit this row, with the value each saw."""
        found: list[tuple[Atom, str]] = []
        for number in self._true_leaves(self.program.trees[rule], row):
            atom = self.program.atoms[number]
            found.append((atom, self._seen(number, row)))
        return found

    def _true_leaves(self, tree: Tree, row: int) -> Iterator[int]:
        mask = self._tree(tree) if isinstance(tree, int) or tree[0] != "not" else None
        if mask is None or not mask[row]:
            return
        if isinstance(tree, int):
            yield tree
        else:
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
            table = (
                np.arange(len(looked.values.texts)) < len(looked.values.texts) - 1
            )  # any value, not null
        else:
            table = self._table(atom, number, looked)
        return looked.values.seen(row, table) or ""

    def _tree(self, tree: Tree) -> Mask | None:
        """Give the rows for which it holds; None = no row, without a mask for it."""
        if isinstance(tree, int):
            return self._atom(tree)
        word, parts = tree
        if word == "not":
            mask = self._tree(parts[0])
            return np.ones(len(self.rows), dtype=np.bool_) if mask is None else ~mask
        return self._every(parts) if word == "and" else self._any(parts)

    def _every(self, parts: Sequence[Tree]) -> Mask | None:
        mask: Mask | None = None
        for part in parts:
            other = self._tree(part)
            if other is None:
                return None
            mask = other if mask is None else mask & other
            if not mask.any():
                return None
        return mask

    def _any(self, parts: Sequence[Tree]) -> Mask | None:
        mask: Mask | None = None
        for part in parts:
            other = self._tree(part)
            if other is not None:
                mask = other if mask is None else mask | other
        return mask

    def _atom(self, number: int) -> Mask | None:
        if not self._can[number]:
            return None
        if number not in self._masks:
            self._masks[number] = self._evaluate(number)
        return self._masks[number]

    def _evaluate(self, number: int) -> Mask | None:
        atom = self.program.atoms[number]
        looked = self._looked.get(atom.field)
        if looked is None:
            is_null = atom.op == "null"
            return np.ones(len(self.rows), dtype=np.bool_) if is_null else None
        if atom.op == "null":
            return ~looked.values.is_there
        if atom.op == "ref":
            if isinstance(looked.values, Stacked):  # a keyword refers to no field
                return None
            return looked.values.compared(self.rows.field(atom.text), atom.more)
        return looked.values.rows(self._table(atom, number, looked))

    def _table(self, atom: Atom, number: int, looked: _Looked) -> Mask:
        if not atom.needle or number in looked.found.untold:
            return looked.values.texts.passing(atom)
        found = looked.found.hits.get(number)
        if found is None:
            return looked.values.texts.marked(np.empty(0, dtype=np.intp))
        if atom.op == "pattern":
            found = looked.values.texts.verified(atom, found)
        return looked.values.texts.marked(found)
