"""Prove every rule of the house: it runs, its `hit` events hit it, its `miss` events do not."""

from pathlib import Path

import pytest

from detectors import sigma
from storage.schema import Context, EventBatch
from tests.detectors.sequences import (
    FOLDER,
    Rule,
    claims,
    correlated,
    documents,
    event,
    sequences,
)

SINGLE = [(p, d) for p, d in documents() if "correlation" not in d]
CORRELATIONS = [(p, d) for p, d in documents() if "correlation" in d]


def _name(given: object) -> str:
    return given.stem if isinstance(given, Path) else ""


@pytest.fixture(scope="module")
def rules() -> sigma.RuleSet:
    return sigma.compile_rules([FOLDER])


@pytest.mark.parametrize(("path", "rule"), SINGLE, ids=_name)
def test_rule_hits_its_hits_and_misses_its_misses(
    path: Path, rule: Rule, rules: sigma.RuleSet
) -> None:
    for kind, expected in (("hit", True), ("miss", False)):
        for number, sample in enumerate(rule["inopsio"][kind]):
            batch = EventBatch.of(event(rule["logsource"], number, sample))
            found = sigma.detect({}, batch, Context(watermark_us=0, rules={"": rules}))[1]
            assert (rule["id"] in {f.rule_id for f in found}) is expected, (path, kind)


@pytest.mark.parametrize(("path", "rule"), CORRELATIONS, ids=_name)
@pytest.mark.parametrize("turn", [1, -1], ids=["in-order", "backwards"])
def test_correlation_hits_its_hits_and_misses_its_misses(
    path: Path, rule: Rule, turn: int, rules: sigma.RuleSet
) -> None:
    for kind, expected in (("hit", True), ("miss", False)):
        for steps in sequences(rule, kind):
            found = correlated(claims(steps, rules)[::turn], rules)
            assert (rule["id"] in {f.rule_id for f in found}) is expected, (path, kind)


def test_every_rule_of_the_house_can_run() -> None:
    reports = list(sigma.lint([FOLDER]))
    assert [(r.file, r.reason) for r in reports if not r.executable] == []
    assert len(reports) >= 150


@pytest.mark.parametrize(("path", "rule"), documents(), ids=_name)
def test_rule_says_what_an_analyst_needs(path: Path, rule: Rule) -> None:
    wanted = {"title", "id", "description", "tags", "falsepositives", "level"}
    assert wanted <= set(rule), path
    assert len(rule["title"]) <= 90
    assert any(t.startswith(("attack.t", "attack.c")) for t in rule["tags"])
