"""Read a Sigma correlation document (specification 2.1) into a Correlation."""

import re
from pathlib import Path
from typing import Any, Final, get_args

from sigma.correlations import SigmaCorrelationRule

from detectors._correlation.condition import MOST_FIELDS, names_in, read_condition
from detectors._correlation.rule import TYPES, Aliases, Correlation, Type
from storage.errors import InvalidRule
from storage.schema.finding import Level

MOST_RULES: Final = 32
LONGEST_S: Final = 366 * 86_400
_KEYS: Final = frozenset(
    {"type", "rules", "group-by", "timespan", "condition", "aliases", "generate"}
)
_TYPES: Final[dict[str, Type]] = {t: t for t in TYPES}
_LEVELS: Final[dict[str, Level]] = {level: level for level in get_args(Level)}


def read_correlation(document: dict[Any, Any], version: str, file: str) -> Correlation:
    """Give the document's rule, its base rules still as written; InvalidRule says what is wrong."""
    given = document["correlation"]
    names = _checked(given)
    type_ = _TYPES[given["type"]]
    condition = read_condition(given.get("condition"), type_, names)
    # Its condition is read here: pySigma knows one bound and whole numbers only.
    plain = {**given, "rules": list(names), "condition": {"gte": 1, "field": "any"}}
    rule = SigmaCorrelationRule.from_dict({**document, "correlation": plain})
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
        least=condition.least,
        value=condition.value,
        aliases=_aliases(rule, names),
        is_generating=rule.generate,
        attack=tuple(
            t.name.upper()
            for t in rule.tags
            if t.namespace == "attack" and re.fullmatch(r"t\d{4}(\.\d{3})?", t.name.lower())
        ),
        name=str(document.get("name") or ""),
        bounds=condition.bounds,
        percentile=condition.percentile,
        clauses=condition.clauses,
        absent=condition.absent,
        named=names,
    )


def _checked(given: object) -> tuple[str, ...]:
    """Check the map's shape; give the base rules as written."""
    if not isinstance(given, dict):
        raise InvalidRule("correlation is no map")
    unknown = sorted(str(k) for k in given if k not in _KEYS)
    if unknown:
        raise InvalidRule(f"correlation has unknown keys: {', '.join(unknown)[:200]}")
    if given.get("type") not in TYPES:
        kind = str(given.get("type"))[:60]
        raise InvalidRule(f"correlation type '{kind}' is not known; one of: {', '.join(TYPES)}")
    by = given.get("group-by")
    if isinstance(by, list) and len(by) > MOST_FIELDS:
        raise InvalidRule(f"correlation groups by more than {MOST_FIELDS} fields")
    return _names(given.get("rules"), given.get("condition"))


def _names(rules: object, condition: object) -> tuple[str, ...]:
    if rules is None and isinstance(condition, str):
        rules = names_in(condition)
    names = [rules] if isinstance(rules, str) else rules
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise InvalidRule("correlation has no 'rules': list the base rules by id or name")
    if len(names) > MOST_RULES:
        raise InvalidRule(f"correlation has more than {MOST_RULES} base rules")
    return tuple(names)


def _timespan_us(seconds: int) -> int:
    if seconds > LONGEST_S:
        raise InvalidRule("timespan is longer than a year")
    return seconds * 1_000_000


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
