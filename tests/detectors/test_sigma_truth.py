"""Real logs, all rules: the counts of the reference matcher, pair by pair."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from deploy.detect import detect_files
from detectors.sigma import RuleSet, claims, compile_rules
from pipelines.parsing import parse_stream
from pipelines.sources.files import walk
from storage.schema import Finding
from tests.detectors.test_sigma import row_path
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


def test_rows_one_by_one_and_columns_say_the_same_of_real_events(rules: RuleSet) -> None:
    whole = some_events(40, 12)
    with row_path(0):
        by_columns = sorted(map(told_of, claims(rules, whole)))
    by_rows, by_few = (
        sorted(told_of(one) for piece in whole.iter_slices(size) for one in claims(rules, piece))
        for size in (1, 70)
    )
    assert whole.height > 300
    assert len(by_columns) > 50
    assert by_rows == by_columns
    assert by_few == by_columns


def some_events(most_files: int, of_each: int) -> pl.DataFrame:
    """Give a few events of many recordings, of both kinds."""
    frames: list[pl.DataFrame] = []
    for home, ending in (("evtx", ".evtx"), ("otrf", ".json")):
        files = 0
        for item in walk([shared_data(home)]):
            is_log = item.reason is None and item.member.endswith(ending)
            if is_log and "manifest" not in item.member and files < most_files:
                files += 1
                log_format, chunks = item.detected()
                parsed = parse_stream(
                    log_format,
                    chunks,
                    tenant_id="t",
                    source=item.member,
                    ingested_at_us=1,
                )
                batches = [batch.frame for batch, _ in parsed]
                frames += [f.sample(min(of_each, f.height), seed=1) for f in batches[:1]]
    return pl.concat(frames, how="diagonal")


def told_of(one: Finding) -> tuple[str, str]:
    """Give a claim's id and everything it says why."""
    return one.finding_id, repr(sorted(one.reasons, key=repr))
