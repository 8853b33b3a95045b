"""Real logs, all rules: the counts of the reference matcher, pair by pair."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.detect import detect_files
from detectors.sigma import RuleSet, compile_rules
from tests.shared import shared_data

pytestmark = pytest.mark.slow

Pairs = Counter[tuple[str, str]]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return compile_rules([shared_data("sigma")])


def _truth(*names: str) -> Pairs:
    pairs: Pairs = Counter()
    for name in names:
        for line in (shared_data("truth") / f"{name}.jsonl").read_text().splitlines():
            row = json.loads(line)
            pairs[row["file"], row["rule_id"]] += row["count"]
    return pairs


def _found(rules: RuleSet, home: Path, below: str = "") -> Iterator[tuple[tuple[str, str], int]]:
    for hit in detect_files([home / below], rules, lambda _file, _reason: None):
        yield (hit.file.removeprefix(f"{home}/"), hit.rule_id), hit.count


def _windows(rules: RuleSet) -> set[str]:
    return {r.rule_id for r in rules.rules if r.product == "windows"}


def test_evtx_files_have_the_counts_of_the_reference(rules: RuleSet) -> None:
    found = dict(_found(rules, shared_data("evtx")))
    scope = _windows(rules)
    want = _truth("evtx_sysmon", "evtx_audit")
    assert {k: v for k, v in found.items() if k[1] in scope} == dict(want)


def test_shipped_json_has_the_counts_of_the_reference(rules: RuleSet) -> None:
    found = dict(_found(rules, shared_data("otrf")))
    keywords = {r.rule_id for r in rules.rules if any(not a.field for a in r.atoms)}
    scope = _windows(rules) - keywords  # the truth leaves keyword rules out
    assert {k: v for k, v in found.items() if k[1] in scope} == dict(_truth("otrf_sysmon"))


def test_each_rule_finds_its_own_regression_sample(rules: RuleSet) -> None:
    want = _truth("regression")
    found = dict(_found(rules, shared_data("sigma"), "regression_data"))
    assert {k: found.get(k) for k in want} == dict(want)


def test_every_rule_of_the_tree_can_run(rules: RuleSet) -> None:
    idle = [r for r in rules.reports if not r.executable and r.rule_id]
    assert idle == []
