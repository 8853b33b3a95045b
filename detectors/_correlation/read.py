"""Read a Sigma correlation document (specification 2.1) into a Correlation."""

import re
from pathlib import Path
from typing import Any, Final, get_args

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule

from detectors._correlation.rule import TYPES, Aliases, Correlation, Type
from storage.errors import InvalidRule
from storage.schema.finding import Level

MOST_RULES: Final = 32
MOST_FIELDS: Final = 8
MOST_COUNTED: Final = 2000
"""Largest count a condition may ask for: so many claims are held for one group."""
LONGEST_S: Final = 366 * 86_400
_KEYS: Final = frozenset(
    {"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}
)
_TYPES: Final[dict[str, Type]] = {t: t for t in TYPES}
_LEVELS: Final[dict[str, Level]] = {level: level for level in get_args(Level)}


def read_correlation(document: dict[Any, Any], version: str, file: str) -> Correlation:
    """Give the document's rule, its base rules still as written; InvalidRule says what is wrong."""
    given = document["correlation"]
    _check_shape(given)
    rule = SigmaCorrelationRule.from_dict(document)
    type_ = _TYPES[rule.type.name.lower()]
    names = tuple(str(r.reference) for r in rule.rules or ())
    condition = rule.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        raise InvalidRule("a condition in words is not run yet; list the rules instead")
    least = _least(condition, type_, len(names))
    return Correlation(
        rule_id=str(rule.id) if rule.id else f"{Path(file).stem}-{version}",
        title=str(rule.title or Path(file).stem),
        level=_LEVELS.get(rule.level.name.lower() if rule.level else "", "medium"),
        version=version,
        file=file,
        type=type_,
        rules=names,
        group_by=tuple(dict.fromkeys(rule.group_by or ())),
        timespan_us=_timespan_us(rule.timespan.seconds),
        least=least,
        value=_value(condition, type_),
        aliases=_aliases(rule, names),
        is_generating=rule.generate,
        attack=tuple(
            t.name.upper()
            for t in rule.tags
            if t.namespace == "attack" and re.fullmatch(r"t\d{4}(\.\d{3})?", t.name.lower())
        ),
        name=str(document.get("name") or ""),
    )


def _check_shape(given: object) -> None:
    if not isinstance(given, dict):
        raise InvalidRule("correlation is no map")
    unknown = sorted(str(k) for k in given if k not in _KEYS)
    if unknown:
        raise InvalidRule(f"correlation has unknown keys: {', '.join(unknown)[:200]}")
    if given.get("type") not in TYPES:
        kind = str(given.get("type"))[:60]
        raise InvalidRule(f"correlation type '{kind}' is not run yet; one of: {', '.join(TYPES)}")
    rules = given.get("rules")
    names = [rules] if isinstance(rules, str) else rules
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InvalidRule("correlation has no 'rules': list the base rules by id or name")
    if len(names) > MOST_RULES:
        raise InvalidRule(f"correlation has more than {MOST_RULES} base rules")
    by = given.get("group-by")
    if isinstance(by, list) and len(by) > MOST_FIELDS:
        raise InvalidRule(f"correlation groups by more than {MOST_FIELDS} fields")
    if isinstance(given.get("condition"), str):
        raise InvalidRule("a condition in words is not run yet; list the rules instead")


def _timespan_us(seconds: int) -> int:
    if seconds > LONGEST_S:
        raise InvalidRule("timespan is longer than a year")
    return seconds * 1_000_000


def _least(condition: SigmaCorrelationCondition, type_: Type, rules: int) -> int:
    word = condition.op.name.lower()
    if word not in {"gt", "gte"}:
        raise InvalidRule(f"condition '{word}' is not run yet; use gt or gte")
    least = condition.count + (word == "gt")
    if type_ == "temporal_ordered" and least != rules:
        raise InvalidRule("temporal_ordered wants all its rules; leave the condition away")
    if type_ == "temporal" and not 1 <= least <= rules:
        raise InvalidRule(f"temporal wants {least} of {rules} rules")
    if not 1 <= least <= MOST_COUNTED:
        raise InvalidRule(f"condition counts to {least}; 1 to {MOST_COUNTED} can be counted")
    return least


def _value(condition: SigmaCorrelationCondition, type_: Type) -> str:
    field = condition.fieldref
    if isinstance(field, list):
        if len(field) != 1:
            raise InvalidRule("value_count over several fields is not run yet; name one")
        field = field[0]
    if type_ != "value_count":
        return ""
    return str(field)


def _aliases(rule: SigmaCorrelationRule, names: tuple[str, ...]) -> Aliases:
    found: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    for alias in rule.aliases:
        mapping = tuple((str(r.reference), str(f)) for r, f in alias.mapping.items())
        strange = [r for r, _ in mapping if r not in names]
        if strange:
            raise InvalidRule(
                f"alias '{alias.alias}' names rule '{strange[0]}', which is not among 'rules'"
            )
        missing = [n for n in names if n not in dict(mapping)]
        if missing:
            raise InvalidRule(f"alias '{alias.alias}' says no field for rule '{missing[0]}'")
        found.append((str(alias.alias), mapping))
    return tuple(found)
