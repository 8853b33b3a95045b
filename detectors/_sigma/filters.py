"""Take from rules' hits what a tenant's filters take out; put the rules of a route together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from detectors._sigma.atoms import END, START, Atom, Tree
from detectors._sigma.compiled import CompiledFilter, CompiledRule
from detectors._sigma.fields import Rows
from detectors._sigma.logsource import Route
from detectors._sigma.match import Program
from detectors._sigma.texts import Indexes, Mask


class Filters:
    """Ask filters about one batch's hits: only where a rule hits, each filter once a set of rows.

    A filter is asked of the rows in the words of the route by which they came, as the rule is.
    """

    def __init__(
        self,
        house: Sequence[CompiledFilter],
        tenants: Sequence[tuple[npt.NDArray[np.bool_], Sequence[CompiledFilter]]],
    ) -> None:
        """Take the filters for all rows, and others with the rows of the batch they count for."""
        self._filters: list[tuple[Mask | None, CompiledFilter]] = [(None, f) for f in house]
        self._filters += [(rows, f) for rows, found in tenants for f in found]
        self._known: dict[tuple[int, int, Route], Mask] = {}

    def kept(
        self, rule: CompiledRule, mask: Mask, places: Indexes, rows: Rows, route: Route
    ) -> Mask:
        """Give the hits of a rule (`mask` over `rows`, which lie at `places`) that stay."""
        for number, (concerned, one) in enumerate(self._filters):
            if not one.concerns(rule):
                continue
            key = (number, id(rows), route)
            if key not in self._known:
                self._known[key] = _holding(one, rows, route)
            holds = self._known[key]
            mask = mask & (holds if concerned is None else holds | ~concerned[places])
        return mask


def _holding(one: CompiledFilter, rows: Rows, route: Route) -> Mask:
    found = list(program_of([one.rule], replace(route, also=())).run(rows).hits())
    holds: Mask = found[0][1] if found else np.zeros(len(rows), dtype=np.bool_)
    return holds if one.until_us is None else holds | (rows.times_us() >= one.until_us)


def program_of(rules: Sequence[CompiledRule], route: Route) -> Program:
    """Put the rules of one route together, in the words their fields have there."""
    atoms: dict[Atom, int] = {}
    renames = dict(route.renames)

    def numbered(atom: Atom) -> int:
        name = renames.get(atom.field, atom.field)
        own = atom if name == atom.field else replace(atom, field=name)
        return atoms.setdefault(own, len(atoms))

    extra: list[Tree] = []
    for name, values in route.also:
        tests = tuple(numbered(_is(name, value)) for value in values)
        extra.append(("or", tests))
    trees: list[Tree] = []
    for rule in rules:
        places = [numbered(a) for a in rule.atoms]
        tree = _renumbered(rule.tree, places)
        trees.append(("and", (*extra, tree)) if extra else tree)
    return Program(tuple(atoms), trees)


def _is(name: str, value: str) -> Atom:
    whole = f"{START}{value.lower()}{END}"
    return Atom(name, "text", whole, whole, shown=f"is {value}")


def _renumbered(tree: Tree, places: Sequence[int]) -> Tree:
    if isinstance(tree, int):
        return places[tree]
    return (tree[0], tuple(_renumbered(part, places) for part in tree[1]))
