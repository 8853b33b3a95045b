"""Prove every rule of the house: it runs, its `hit` events hit it, its `miss` events do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from detectors import sigma
from detectors._sigma.logsource import CATEGORIES, CHANNELS, SYSMON, SYSMON_CHANNEL
from storage.schema import COLUMNS, ENVELOPE, Context, EventBatch, column_named
from tests.shared import ROOT

FOLDER = ROOT / "detectors" / "rules"
FILES = sorted(FOLDER.rglob("*.yml"))


def _rule(path: Path) -> dict[str, Any]:
    rule: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return rule


def _place(source: dict[str, str]) -> dict[str, object]:
    """Give the columns that say where an event of this log source comes from."""
    product, category = source["product"], source.get("category", "")
    class_uid, activities = CATEGORIES.get(category, ((0, ()),))[0]
    row: dict[str, object] = {
        "class_uid": class_uid,
        "activity_id": activities[0] if activities else 0,
        "metadata.product.name": product,
        "metadata.log_format": "sample",
    }
    if product == "windows":
        row["metadata.log_format"] = "windows_json"
        service = source.get("service", "")
        row["metadata.log_name"] = CHANNELS[service][0] if service else SYSMON_CHANNEL
        row["metadata.event_code"] = str(SYSMON[category][0]) if category else ""
    elif "service" in source:
        row["metadata.log_format"] = source["service"]
    return row


def _event(source: dict[str, str], number: int, sample: dict[str, Any]) -> pl.DataFrame:
    row = _place(source) | {"tenant_id": "acme", "event_id": f"{number:08d}", "time": 0}
    for name, value in sample.items():
        if name == "EventID":
            row |= {"metadata.event_code": str(value), "unmapped.EventID": str(value)}
        elif column_named(name):
            row[name] = value
        else:
            row[f"unmapped.{name}"] = str(value)
    types = {c.name: c.dtype for c in COLUMNS}
    wanted = [c.name for c in ENVELOPE] + [n for n in row if column_named(n) is None]
    names = dict.fromkeys([*wanted, *row])
    return pl.DataFrame([pl.Series(n, [row.get(n)]).cast(types.get(n, pl.String())) for n in names])


@pytest.fixture(scope="module")
def rules() -> sigma.RuleSet:
    return sigma.compile_rules([FOLDER])


def _samples(path: Path, kind: str) -> Iterator[EventBatch]:
    rule = _rule(path)
    for number, sample in enumerate(rule["inopsio"][kind]):
        yield EventBatch.of(_event(rule["logsource"], number, sample))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_rule_hits_its_hits_and_misses_its_misses(path: Path, rules: sigma.RuleSet) -> None:
    rule_id = _rule(path)["id"]
    for kind, expected in (("hit", True), ("miss", False)):
        for batch in _samples(path, kind):
            found = sigma.detect({}, batch, Context(watermark_us=0, rules={"": rules}))[1]
            assert (rule_id in {f.rule_id for f in found}) is expected, kind


def test_every_rule_of_the_house_can_run() -> None:
    reports = list(sigma.lint([FOLDER]))
    assert [(r.file, r.reason) for r in reports if not r.executable] == []
    assert len(reports) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_rule_says_what_an_analyst_needs(path: Path) -> None:
    rule = _rule(path)
    assert {"title", "id", "description", "tags", "falsepositives", "level"} <= set(rule)
    assert len(rule["title"]) <= 90
    assert any(t.startswith(("attack.t", "attack.c")) for t in rule["tags"])
