"""Judge rule texts at the front door as the flows will read them."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from detectors.sigma import RuleReport, RuleSet, compile_rules, compile_texts
from storage.errors import InvalidRule
from storage.rules import Check, CheckedRule
from storage.settings import Settings

MOST_IN_ONE: Final = 16
"""Rules that one text may hold: the number of texts bounds the number of rules."""
LONGEST_SHOWN: Final = 1 << 17
"""Of a rule file's text, bytes."""
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
    return compile_rules(_folders(rules_dirs), cache=data_dir / "cache" / "rules.json")


def _folders(rules_dirs: str) -> list[Path]:
    given = map(Path, filter(None, rules_dirs.split(":")))
    return [*([_HOUSE] if _HOUSE.is_dir() else []), *given]


def _checked(text: str, others: Mapping[str, str], house: RuleSet) -> CheckedRule:
    alone = compile_texts({"rule": text.encode()}, beside=house)
    own = [r for r in alone.reports if r.file == "rule"]  # not the house's that lacked its values
    if len(own) > MOST_IN_ONE:
        raise InvalidRule(f"a text holds at most {MOST_IN_ONE} rules")
    ids = [report.rule_id for report in own]
    if not ids or not ids[-1] or ids[-1].startswith("rule-"):
        reason = next((r.reason for r in own if r.reason), "")
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

    A rule of the house that lacks values runs for a tenant that states them. A file that holds no
    rule, or one whose id another has, has a row too: its `rule_id` is made of its place.
    """
    own = {r["rule_id"]: r for r in reports_of(own_rules(settings, texts)) if r["executable"]}
    return [
        own.get(row["rule_id"], row) | {"file": row["file"]}
        for row, _ in _placed(settings.rules_dirs, settings.data_dir)
    ]


@functools.lru_cache(maxsize=4)
def _placed(rules_dirs: str, data_dir: Path) -> tuple[tuple[dict[str, Any], Path], ...]:
    """Give the house's rows, each with an id of its own and no folder's path, and their files."""
    house, folders = _house(rules_dirs, data_dir), _folders(rules_dirs)
    running = {r.rule_id for r in house.reports if r.executable}
    seen: Counter[str] = Counter()
    reports = []
    for report in house.reports:
        rule_id, place = report.rule_id, place_of(report.file, folders)
        if not report.executable and (rule_id is None or rule_id in running):
            number = seen[report.file]
            seen[report.file] += 1
            rule_id = f"file-{blake2b(f'{place}#{number}'.encode(), digest_size=8).hexdigest()}"
        reason = report.reason
        for folder in folders:
            reason = reason.replace(f"{folder}/", "")
        title = report.title or place
        reports.append(replace(report, rule_id=rule_id, reason=reason, title=title, file=place))
    files = [Path(r.file) for r in house.reports]
    return tuple(zip(_rows(house, reports), files, strict=True))


def place_of(file: str, folders: Sequence[Path]) -> str:
    """Give a rule file's path below the folder of rules that it lies in; else its name."""
    path = Path(file)
    home = next((f for f in folders if path.is_relative_to(f)), path.parent)
    return str(path.relative_to(home))


def text_of(settings: Settings, rule_id: str) -> str:
    """Read the text of the file in which the house found a rule, '' if it is not there any more."""
    wanted = rule_id.lower()
    for row, path in _placed(settings.rules_dirs, settings.data_dir):
        if str(row["rule_id"]).lower() == wanted:
            try:
                with path.open("rb") as file:
                    return file.read(LONGEST_SHOWN).decode("utf-8", "replace")
            except OSError:
                return ""
    return ""


def reports_of(rules: RuleSet) -> list[dict[str, Any]]:
    """Give a row for each rule: rule_id, title, type, level, kind, attack, executable, reason."""
    return _rows(rules, rules.reports)


def _rows(rules: RuleSet, reports: Sequence[RuleReport]) -> list[dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    for rule in rules.rules:
        known[rule.rule_id] = {"type": "rule", "level": rule.level, "kind": rules.kind(rule)}
        known[rule.rule_id]["attack"] = rule.attack
    for one in rules.correlations:
        known[one.rule_id] = {"type": one.type, "level": one.level, "kind": one.kind}
        known[one.rule_id]["attack"] = one.attack
    for sieve in rules.filters:
        known[sieve.rule_id] = {"type": "filter"}
    for listed in rules.lists:
        known[listed.rule_id] = {"type": "values"}
    return [
        {"type": "rule", "attack": ()}
        | (known.get(r.rule_id, {}) if r.executable else {})
        | {"rule_id": r.rule_id, "title": r.title or r.rule_id, "file": r.file}
        | {"executable": r.executable, "reason": r.reason}
        for r in reports
        if r.rule_id
    ]


def _titles(rules: RuleSet) -> dict[str, str]:
    found = {rule.rule_id: rule.title for rule in rules.rules}
    found |= {one.rule_id: one.rule.title for one in rules.filters}
    found |= {one.rule_id: one.title for one in rules.lists}
    return found | {one.rule_id: one.title for one in rules.correlations}
