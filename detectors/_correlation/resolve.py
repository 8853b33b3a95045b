"""Resolve the base rules that correlations name; say clearly which cannot be."""

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from detectors._correlation.rule import Correlation

_FOLDER: Final = Path(__file__).resolve().parent.parent
ENGINES: Final = frozenset({"sigma", "correlation"})
"""Detectors that run rules: their rules are named, not they themselves."""

MOST_STOREYS: Final = 32
"""Correlations that may rest one upon another."""


@dataclass(slots=True)
class Resolved:
    """Correlations that can run, those they are built on first; and why others cannot."""

    correlations: list[Correlation] = field(default_factory=list)
    refused: list[tuple[Correlation, str]] = field(default_factory=list)


def other_detectors() -> frozenset[str]:
    """Give the names of the detectors that are found beside the engines, without importing them."""
    found = pkgutil.iter_modules([str(_FOLDER)])
    return frozenset(m.name for m in found if not m.name.startswith("_")) - ENGINES


def resolve(
    rules: Mapping[str, str],
    found: Sequence[Correlation],
    idle: Iterable[str] = (),
    waiting: Iterable[str] = (),
) -> Resolved:
    """Put rule ids in the place of names. `rules`: id or name -> id of what can be a base rule.

    `idle`: ids and names of rules that cannot run; `waiting`: of correlations beside these that
    wait for the end of their window. A detector is named by its module, or by a
    rule id of its own that begins with that name and '.', '/' or ':'.
    """
    done = Resolved()
    by_name: dict[str, Correlation] = {}
    for one in found:
        by_name.setdefault(one.rule_id, one)
        if one.name:
            by_name.setdefault(one.name, one)
    walk = _Walk(rules, by_name, other_detectors(), frozenset(idle), frozenset(waiting), done)
    for one in found:
        walk.visit(one, ())
    return done


@dataclass(slots=True)
class _Walk:
    rules: Mapping[str, str]
    correlations: Mapping[str, Correlation]
    detectors: frozenset[str]
    idle: frozenset[str]
    waiting: frozenset[str]
    done: Resolved
    reasons: dict[str, str] = field(default_factory=dict)
    """Rule id -> why it cannot run; "" = it can."""

    def visit(self, one: Correlation, above: tuple[str, ...]) -> str:
        if one.rule_id in above:
            return "correlation rests on itself: " + " -> ".join((*above, one.rule_id))
        if len(above) >= MOST_STOREYS:
            return f"more than {MOST_STOREYS} correlations rest one upon another"
        if one.rule_id not in self.reasons:
            names = {n: self._base(n, (*above, one.rule_id)) for n in one.rules}
            reason = next((r for _, r in names.values() if r), "")
            self.reasons[one.rule_id] = reason
            if reason:
                self.done.refused.append((one, reason))
            else:
                self.done.correlations.append(_renamed(one, {n: i for n, (i, _) in names.items()}))
        return self.reasons[one.rule_id]

    def _base(self, name: str, above: tuple[str, ...]) -> tuple[str, str]:
        """Give (rule id, why it cannot be a base rule)."""
        if name in self.rules:
            return self.rules[name], ""
        other = self.correlations.get(name)
        if name in self.waiting or (other is not None and other.is_waiting):
            return name, (
                f"its base rule '{name[:120]}' waits for the end of its window, so nothing can "
                "rest on it; give it gt or gte alone, and no 'not'"
            )
        if other is not None:
            reason = self.visit(other, above)
            if reason.startswith("correlation rests on itself"):
                return other.rule_id, reason
            return other.rule_id, f"its base rule '{name}' cannot run: {reason}" if reason else ""
        for mark in ".:/":
            if name.partition(mark)[0] in self.detectors:
                return name, ""
        if name in self.idle:
            return name, f"its base rule '{name}' cannot run"
        known = ", ".join(sorted(self.detectors))
        return name, (
            f"base rule '{name[:120]}' is not there; name a rule's id or name, another "
            f"correlation's, or a detector ({known})"
        )


def _renamed(one: Correlation, ids: Mapping[str, str]) -> Correlation:
    aliases = tuple((a, tuple((ids[r], f) for r, f in m)) for a, m in one.aliases)
    return replace(one, rules=tuple(ids[r] for r in one.rules), aliases=aliases)
