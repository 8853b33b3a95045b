"""Judge rule texts at the front door as the flows will read them."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from detectors.sigma import RuleSet, compile_rules, compile_texts
from storage.errors import InvalidRule
from storage.rules import Check, CheckedRule
from storage.settings import Settings

MOST_IN_ONE: Final = 16
"""Rules that one text may hold: the number of texts bounds the number of rules."""
_HOUSE: Final = Path(__file__).resolve().parent.parent / "detectors" / "rules"


def checker(settings: Settings) -> Check:
    """Give the check for `storage.rules.save_rule`, for the house of these settings."""

    def check(text: str, others: Mapping[str, str]) -> CheckedRule:
        return _checked(text, others, house_rules(settings))

    return check


def house_rules(settings: Settings) -> RuleSet:
    """Give the house's rules and those of the settings' folders; compiled once a process."""
    return _house(settings.rules_dirs, settings.data_dir)


@functools.lru_cache(maxsize=4)
def _house(rules_dirs: str, data_dir: Path) -> RuleSet:
    folders = [
        *([_HOUSE] if _HOUSE.is_dir() else []),
        *map(Path, filter(None, rules_dirs.split(":"))),
    ]
    return compile_rules(folders, cache=data_dir / "cache" / "rules.json")


def _checked(text: str, others: Mapping[str, str], house: RuleSet) -> CheckedRule:
    alone = compile_texts({"rule": text.encode()}, beside=house)
    if len(alone.reports) > MOST_IN_ONE:
        raise InvalidRule(f"a text holds at most {MOST_IN_ONE} rules")
    ids = [report.rule_id for report in alone.reports]
    if not ids or not ids[-1] or ids[-1].startswith("rule-"):
        reason = next((r.reason for r in alone.reports if r.reason), "")
        raise InvalidRule(reason or "the rule has no 'id'; give it one (a UUID)")
    rule_id = ids[-1]
    if taken := _titles(house).keys() & set(ids):
        raise InvalidRule(f"id {taken.pop()} is a rule of the house; give yours an id of its own")
    beside = {name: other.encode() for name, other in others.items() if name != rule_id}
    whole = compile_texts({**beside, rule_id: text.encode()}, beside=house)
    mine = [r for r in whole.reports if r.file == rule_id]
    titles = _titles(whole)
    reason = next((r.reason for r in mine if not r.executable), "")
    return CheckedRule(rule_id, titles.get(rule_id, rule_id), reason)


def own_rules(settings: Settings, texts: Mapping[str, str]) -> RuleSet:
    """Give a tenant's own rules (rule id -> text) as the flows run them beside the house's."""
    return _own(settings.rules_dirs, settings.data_dir, tuple(sorted(texts.items())))


@functools.lru_cache(maxsize=32)
def _own(rules_dirs: str, data_dir: Path, texts: tuple[tuple[str, str], ...]) -> RuleSet:
    return compile_texts(
        {name: text.encode() for name, text in texts}, beside=_house(rules_dirs, data_dir)
    )


def house_reports(settings: Settings, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give the house's rows of `reports_of` as they run for a tenant with these texts.

    A rule of the house that lacks values runs for a tenant that states them.
    """
    own = {r["rule_id"]: r for r in reports_of(own_rules(settings, texts)) if r["executable"]}
    return [own.get(r["rule_id"], r) for r in reports_of(house_rules(settings))]


def reports_of(rules: RuleSet) -> list[dict[str, Any]]:
    """Give a row for each rule: rule_id, title, type, level, kind, executable, reason."""
    known: dict[str, dict[str, Any]] = {}
    for rule in rules.rules:
        known[rule.rule_id] = {"type": "rule", "level": rule.level, "kind": rules.kind(rule)}
        known[rule.rule_id]["title"] = rule.title
    for one in rules.correlations:
        known[one.rule_id] = {"type": one.type, "level": one.level, "kind": one.kind}
        known[one.rule_id]["title"] = one.title
    for sieve in rules.filters:
        known[sieve.rule_id] = {"type": "filter", "title": sieve.rule.title}
    for listed in rules.lists:
        known[listed.rule_id] = {"type": "values", "title": listed.title}
    return [
        {"title": r.rule_id, "type": "rule"}
        | (known.get(r.rule_id, {}) if r.executable else {})
        | {"rule_id": r.rule_id, "executable": r.executable, "reason": r.reason}
        for r in rules.reports
        if r.rule_id
    ]


def _titles(rules: RuleSet) -> dict[str, str]:
    found = {rule.rule_id: rule.title for rule in rules.rules}
    found |= {one.rule_id: one.rule.title for one in rules.filters}
    found |= {one.rule_id: one.title for one in rules.lists}
    return found | {one.rule_id: one.title for one in rules.correlations}
