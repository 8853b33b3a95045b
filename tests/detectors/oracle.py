"""Say what a Sigma rule means, one event after the other: slow, plain, and not the product.

Walks pySigma's own condition tree in Python. An event is a mapping of field to text; an absent
field is null. Shares no code with `detectors._sigma`.
"""

import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
)
from sigma.rule import SigmaRule
from sigma.types import (
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

Event = Mapping[str, str | None]
Sigma: TypeAlias = Any  # pySigma nodes and values; told apart by isinstance
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def matches(rule: SigmaRule, event: Event) -> bool:
    """Answer whether any of the rule's conditions holds for the event."""
    return any(_holds(c.parse(), event) for c in rule.detection.parsed_condition)


def trees(rule: SigmaRule) -> list[Sigma]:
    """Give the rule's conditions, parsed once."""
    return [c.parse() for c in rule.detection.parsed_condition]


def holds(parsed: list[Sigma], event: Event) -> bool:
    """Answer for conditions that `trees` gave."""
    return any(_holds(tree, event) for tree in parsed)


def _holds(node: Sigma, event: Event) -> bool:
    if isinstance(node, ConditionAND):
        return all(_holds(a, event) for a in node.args)
    if isinstance(node, ConditionOR):
        return any(_holds(a, event) for a in node.args)
    if isinstance(node, ConditionNOT):
        return not _holds(node.args[0], event)
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _field(node.value, event.get(node.field), event)
    return any(_keyword(node.value, v) for v in event.values() if v is not None)


def _field(value: Sigma, seen: str | None, event: Event) -> bool:
    if isinstance(value, SigmaExpansion):
        return any(_field(v, seen, event) for v in value.values)
    if isinstance(value, SigmaNull):
        return seen is None
    if isinstance(value, SigmaExists):
        return (seen is not None) == value.exists
    if seen is None:
        return False
    if isinstance(value, SigmaFieldReference):
        return _reference(value, seen, event.get(value.field))
    return _plain(value, seen)


def _plain(value: Sigma, seen: str) -> bool:
    if isinstance(value, SigmaString):
        return _glob(value, seen)
    if isinstance(value, SigmaRegularExpression):
        return _regex(value, seen)
    if isinstance(value, SigmaBool):
        return seen.lower() == str(value.boolean).lower()
    if isinstance(value, SigmaNumber):
        return seen == str(value.number) or (
            _NUMBER.fullmatch(seen) is not None and float(seen) == value.number
        )
    if isinstance(value, SigmaCIDRExpression):
        try:
            return ipaddress.ip_address(seen) in value.network
        except ValueError:
            return False
    if isinstance(value, SigmaCompareExpression):
        return _compare(value, seen)
    raise AssertionError(f"oracle does not know {type(value)}")


def _glob(value: SigmaString, seen: str) -> bool:
    cased = isinstance(value, SigmaCasedString)
    shape = _shape(tuple(value.s), cased)
    return shape.fullmatch(seen if cased else seen.lower()) is not None


@functools.cache
def _shape(parts: tuple[Sigma, ...], cased: bool) -> re.Pattern[str]:
    shape = ""
    for part in parts:
        if isinstance(part, str):
            shape += re.escape(part if cased else part.lower())
        else:
            shape += ".*" if part is SpecialChars.WILDCARD_MULTI else "."
    return re.compile(shape, re.DOTALL)


def _regex(value: SigmaRegularExpression, seen: str) -> bool:
    flags = 0
    for flag in value.flags:
        flags |= value.sigma_to_python_flags[flag]
    return re.search(value.regexp.to_plain(True), seen, flags) is not None


def _compare(value: SigmaCompareExpression, seen: str) -> bool:
    if not _NUMBER.fullmatch(seen):
        return False
    left, right = float(seen), float(value.number.number)
    word = value.op.name
    return {
        "LT": left < right,
        "LTE": left <= right,
        "GT": left > right,
        "GTE": left >= right,
    }[word]


def _reference(value: SigmaFieldReference, seen: str, other: str | None) -> bool:
    if other is None:
        return False
    mine, theirs = seen.lower(), other.lower()
    if value.starts_with and value.ends_with:
        return theirs in mine
    if value.starts_with:
        return mine.startswith(theirs)
    if value.ends_with:
        return mine.endswith(theirs)
    return mine == theirs


def _keyword(value: Sigma, seen: str) -> bool:
    if isinstance(value, SigmaExpansion):
        return any(_keyword(v, seen) for v in value.values)
    if isinstance(value, SigmaString):
        star = SpecialChars.WILDCARD_MULTI
        wide = type(value)("")
        wide.s = [star, *value.s, star]
        return _glob(wide, seen)
    if isinstance(value, SigmaNumber):
        return str(value.number) in seen
    return _plain(value, seen)
