"""Read a correlation's condition: bounds on a measure, or words that join base rules."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from detectors._correlation.rule import COUNTING, NUMERIC, OPS, TEMPORAL, Bounds, Op, Type
from storage.errors import InvalidRule

MOST_COUNTED: Final = 2000
"""Largest count a condition may ask for: so many claims are held for one group."""
MOST_FIELDS: Final = 8
MOST_CLAUSES: Final = 64
_LONGEST: Final = 2000
_DEEPEST: Final = 20
_WORD: Final = re.compile(r"[()]|[^\s()]+")
_OPS: Final[dict[str, Op]] = {op: op for op in OPS}
_KEYWORDS: Final = frozenset({"and", "or", "not", "(", ")"})

Literal = tuple[str, bool]
"""A base rule's name, and whether it must speak (or stay silent)."""
Clauses = frozenset[frozenset[Literal]]


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold; the names are those of Correlation."""

    least: int = 1
    bounds: Bounds = ()
    value: tuple[str, ...] = ()
    percentile: float = 50.0
    clauses: tuple[tuple[int, ...], ...] = ()
    absent: tuple[tuple[int, ...], ...] = ()


def read_condition(given: object, type_: Type, names: Sequence[str]) -> Condition:
    """Give the condition as written; InvalidRule says what is wrong with it, or cannot run."""
    if isinstance(given, str):
        if type_ not in TEMPORAL:
            raise InvalidRule(f"{type_} takes no condition in words; say for example {{gte: 10}}")
        return _in_words(given, names)
    if given is None and type_ in TEMPORAL:
        return Condition(least=len(names))
    if not isinstance(given, dict):
        raise InvalidRule(f"{type_} without condition; say for example {{gte: 10}}")
    unknown = sorted(str(k) for k in given if k not in {*OPS, "field", "percentile"})
    if unknown:
        raise InvalidRule(f"condition has unknown keys: {', '.join(unknown)[:200]}")
    bounds = tuple((_OPS[k], _number(k, v)) for k, v in given.items() if k in _OPS)
    if not bounds:
        raise InvalidRule(f"condition has no bound; one or two of {', '.join(OPS)}")
    _check_possible(bounds)
    if type_ in TEMPORAL:
        return _steps(bounds, type_, len(names))
    if type_ in COUNTING:
        bounds = _counts(bounds)
    least = 1 if type_ in NUMERIC else max(1, _lowest(bounds))
    return Condition(
        least=least,
        bounds=bounds,
        value=_fields(given.get("field"), type_),
        percentile=_percentile(given, type_),
    )


def _number(key: object, value: object) -> float:
    try:
        number = float(str(value)) if not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRule(f"condition '{key}: {str(value)[:60]}' is no number")
    return number


def _check_possible(bounds: Bounds) -> None:
    tried = [limit + d for _, limit in bounds for d in (-0.5, 0.0, 0.5)]
    tried += [(a + b) / 2 for _, a in bounds for _, b in bounds]
    if not any(all(OPS[op](t, limit) for op, limit in bounds) for t in tried):
        raise InvalidRule("condition can never hold: its bounds exclude each other")


def _counts(bounds: Bounds) -> Bounds:
    """Check bounds on a count of claims or values."""
    for op, limit in bounds:
        if limit != int(limit):
            raise InvalidRule(f"condition '{op}: {limit:g}' counts, and must be a whole number")
        if abs(limit) > MOST_COUNTED or int(limit) + (op == "gt") > MOST_COUNTED:
            raise InvalidRule(f"condition counts to {limit:g}; 1 to {MOST_COUNTED} can be counted")
    if not any(all(OPS[op](n, limit) for op, limit in bounds) for n in range(1, MOST_COUNTED + 2)):
        raise InvalidRule(
            "condition asks that nothing comes; a window opens with a claim, so a count below 1 "
            "is never seen: count something that should come, for example {lt: 5}"
        )
    if _lowest(bounds) < 1 and all(op in {"gt", "gte"} for op, _ in bounds):
        raise InvalidRule(
            f"condition counts to {_lowest(bounds)}; 1 to {MOST_COUNTED} can be counted"
        )
    return bounds


def _lowest(bounds: Bounds) -> int:
    return max((int(n) + (op == "gt") for op, n in bounds if op in {"gt", "gte", "eq"}), default=1)


def _steps(bounds: Bounds, type_: Type, rules: int) -> Condition:
    """Read how many base rules of a temporal correlation must speak: more never undoes it."""
    fitting = [n for n in range(1, rules + 1) if all(OPS[op](n, limit) for op, limit in bounds)]
    if not fitting:
        raise InvalidRule(f"temporal wants a number of rules that is not in 1 to {rules}")
    if fitting != list(range(fitting[0], rules + 1)):
        raise InvalidRule(
            f"{type_} with a number cannot say that some of its rules stay silent; "
            "use gt or gte, or say in words which: 'a and not b'"
        )
    if type_ == "temporal_ordered" and fitting[0] != rules:
        raise InvalidRule("temporal_ordered wants all its rules; leave the condition away")
    return Condition(least=fitting[0])


def _fields(given: object, type_: Type) -> tuple[str, ...]:
    if type_ == "event_count":
        return ()
    fields = given if isinstance(given, list) else [given]
    if not fields or not all(isinstance(f, str) and f for f in fields):
        raise InvalidRule(f"{type_} without field; say for example {{gte: 10, field: user.name}}")
    if len(fields) > (MOST_FIELDS if type_ == "value_count" else 1):
        most = f"at most {MOST_FIELDS} fields" if type_ == "value_count" else "one field"
        raise InvalidRule(f"{type_} takes {most}")
    return tuple(dict.fromkeys(fields))


def _percentile(given: dict[object, object], type_: Type) -> float:
    if type_ != "value_percentile":
        if "percentile" in given:
            raise InvalidRule(f"{type_} takes no 'percentile'; that is for value_percentile")
        return 50.0
    if "percentile" not in given:
        raise InvalidRule("value_percentile without percentile; say for example {percentile: 95}")
    wanted = _number("percentile", given["percentile"])
    if not 0 <= wanted <= 100:
        raise InvalidRule(f"percentile {wanted:g} is not between 0 and 100")
    return wanted


def names_in(text: str) -> list[str]:
    """Give the base rules that a condition in words names, each once, as they come."""
    return list(dict.fromkeys(w for w in _words(text) if w not in _KEYWORDS))


def _words(text: str) -> list[str]:
    if len(text) > _LONGEST:
        raise InvalidRule(f"condition is longer than {_LONGEST} characters")
    return _WORD.findall(text)


def _in_words(text: str, names: Sequence[str]) -> Condition:
    reader = _Reader(_words(text))
    clauses = reader.either(0)
    if reader.peek():
        raise InvalidRule(f"condition in words goes wrong at '{reader.peek()[:60]}'")
    named = names_in(text)
    for name in named:
        if name not in names:
            raise InvalidRule(f"condition names '{name[:120]}', which is not among 'rules'")
    for name in names:
        if name not in named:
            raise InvalidRule(f"rule '{name[:120]}' is listed, but the condition does not name it")
    steps = {name: step for step, name in enumerate(names)}
    found = sorted(
        (_steps_of(clause, steps), _steps_of(clause, steps, speaks=False)) for clause in clauses
    )
    if not found:
        raise InvalidRule("condition can never hold: it asks that a rule speaks and stays silent")
    if not all(wanted for wanted, _ in found):
        raise InvalidRule(
            "condition asks that nothing comes; a window opens with a claim, so that every way to "
            "a match needs a rule that speaks, for example 'a and not b'"
        )
    absent = tuple(silent for _, silent in found)
    return Condition(
        least=min(len(wanted) for wanted, _ in found),
        clauses=tuple(wanted for wanted, _ in found),
        absent=absent if any(absent) else (),
    )


def _steps_of(
    clause: frozenset[Literal], steps: Mapping[str, int], *, speaks: bool = True
) -> tuple[int, ...]:
    return tuple(sorted(steps[name] for name, wanted in clause if wanted is speaks))


@dataclass(slots=True)
class _Reader:
    """Read `not` before `and` before `or`, into sets of rules of which one must be complete."""

    words: list[str]
    at: int = 0

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def either(self, depth: int, *, speaks: bool = True) -> Clauses:
        """Read up to the end of an expression; without `speaks`, the contrary of it."""
        found = self.both(depth, speaks=speaks)
        while self.peek() == "or":
            self.take()
            found = _joined(found, self.both(depth, speaks=speaks), is_and=not speaks)
        return found

    def both(self, depth: int, *, speaks: bool) -> Clauses:
        found = self.one(depth, speaks=speaks)
        while self.peek() == "and":
            self.take()
            found = _joined(found, self.one(depth, speaks=speaks), is_and=speaks)
        return found

    def one(self, depth: int, *, speaks: bool) -> Clauses:
        if depth > _DEEPEST:
            raise InvalidRule(f"condition is nested deeper than {_DEEPEST}")
        word = self.take()
        if word == "not":
            return self.one(depth + 1, speaks=not speaks)
        if word == "(":
            found = self.either(depth + 1, speaks=speaks)
            if self.take() != ")":
                raise InvalidRule("condition in words has a '(' without its ')'")
            return found
        if not word or word in _KEYWORDS:
            raise InvalidRule(f"condition in words goes wrong at '{word or 'its end'}'")
        return frozenset({frozenset({(word, speaks)})})


def _joined(one: Clauses, other: Clauses, *, is_and: bool) -> Clauses:
    return _least(a | b for a in one for b in other) if is_and else _least(one | other)


def _least(clauses: Iterable[frozenset[Literal]]) -> Clauses:
    """Keep the clauses that can hold and that no smaller one makes superfluous."""
    smallest: list[frozenset[Literal]] = []
    for clause in sorted(set(clauses), key=len):
        is_possible = len({name for name, _ in clause}) == len(clause)
        if is_possible and not any(other <= clause for other in smallest):
            smallest.append(clause)
    if len(smallest) > MOST_CLAUSES:
        raise InvalidRule(f"condition in words unfolds to more than {MOST_CLAUSES} sets of rules")
    return frozenset(smallest)
