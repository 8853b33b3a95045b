"""Play the samples of rules: single events, and sequences of timed events for correlations."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from detectors import correlation, sigma
from detectors._sigma.logsource import CATEGORIES, CHANNELS, POWERSHELL, SYSMON, SYSMON_CHANNEL
from pipelines.signals import frame_of
from storage.schema import COLUMNS, ENVELOPE, Context, EventBatch, Finding, State, column_named
from storage.schema.entity import JOINING
from tests.shared import ROOT

FOLDER: Final = ROOT / "detectors" / "rules"
START_US: Final = 1_780_000_000_000_000
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
Rule = dict[str, Any]


@cache
def documents(folder: Path = FOLDER) -> tuple[tuple[Path, Rule], ...]:
    """Give every rule document of the folder with its file; a file may hold several."""
    return tuple(
        (path, document)
        for path in sorted(folder.rglob("*.yml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    )


@cache
def by_name() -> Mapping[str, Rule]:
    """Give id or name -> rule document."""
    return {str(d[k]): d for _, d in documents() for k in ("name", "id") if k in d}


def place(source: Mapping[str, str]) -> dict[str, object]:
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
        service, code = source.get("service", ""), 0
        if category in POWERSHELL:
            service, code = POWERSHELL[category]
        elif category:
            code = SYSMON[category][0]
        row["metadata.log_name"] = CHANNELS[service][0] if service else SYSMON_CHANNEL
        row["metadata.event_code"] = str(code) if code else ""
    elif "service" in source:
        row["metadata.log_format"] = source["service"]
    return row


def event(
    source: Mapping[str, str], number: int, sample: Mapping[str, Any], time_us: int = 0
) -> pl.DataFrame:
    """Give one event of the log source with the sample's fields; null takes a field away."""
    row = place(source) | {"tenant_id": "acme", "event_id": f"{number:08d}", "time": time_us}
    for name, value in sample.items():
        if name == "EventID":
            row |= {"metadata.event_code": str(value), "unmapped.EventID": str(value)}
        elif column_named(name):
            row[name] = value
        elif value is not None:
            row[f"unmapped.{name}"] = str(value)
    types = {c.name: c.dtype for c in COLUMNS}
    wanted = [c.name for c in ENVELOPE] + [n for n in row if column_named(n) is None]
    names = dict.fromkeys([*wanted, *row])
    return pl.DataFrame([pl.Series(n, [row.get(n)]).cast(types.get(n, pl.String())) for n in names])


def sequences(rule: Rule, kind: str) -> list[list[dict[str, Any]]]:
    """Give the `hit` or `miss` sequences of a correlation: one list of steps, or a list of them."""
    given = rule["inopsio"][kind]
    return given if given and isinstance(given[0], list) else [given]


def claims(steps: list[dict[str, Any]], rules: sigma.RuleSet) -> list[Finding]:
    """Give what the steps' base rules claim, each made to claim for real."""
    found: list[Finding] = []
    for number, (at_us, name, given) in enumerate(_expanded(steps)):
        base = by_name().get(name)
        if base is None:
            found.append(_claim(name, number, at_us, given))
            continue
        assert "correlation" not in base, f"give the base rules of '{name}' instead"
        sample = base["inopsio"]["hit"][0] | given
        batch = EventBatch.of(event(base["logsource"], number, sample, at_us))
        told = sigma.detect({}, batch, Context(watermark_us=0, rules={"": rules}))[1]
        assert base["id"] in {f.rule_id for f in told}, f"step {number} does not hit '{name}'"
        found += told
    return found


def correlated(found: list[Finding], rules: sigma.RuleSet) -> list[Finding]:
    """Give what the correlations claim of these claims, come in this order, once all has ended."""
    state: State = correlation.META.empty_state()
    told: list[Finding] = []
    for batch, watermark_us in ((found, 0), ([], 2**62)):
        context = Context(watermark_us=watermark_us, rules={"": rules})
        events = EventBatch.of(frame_of(batch, START_US))
        state, new = correlation.detect(state, events, context)
        told += new
    return told


def _expanded(steps: list[dict[str, Any]]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for step in steps:
        amount, unit = re.fullmatch(r"(\d+)([smhd])", str(step["at"])).groups()  # type: ignore[union-attr]  # a wrong sample fails the test
        at_us = START_US + int(amount) * _SECONDS[unit] * 1_000_000
        given = {k: v for k, v in step.items() if k not in {"at", "rule", "times"}}
        for n in range(step.get("times", 1)):
            own = {
                k: v.replace("{n}", str(n)) if isinstance(v, str) else v for k, v in given.items()
            }
            yield at_us + n * 1_000_000, step["rule"], own


def _claim(name: str, number: int, at_us: int, given: dict[str, Any]) -> Finding:
    """Give a claim of a detector that is no rule: entities by kind, other values as fields."""
    entities = [(k, str(v)) for k, v in given.items() if k in JOINING]
    fields = tuple((k, str(v)) for k, v in given.items() if k not in JOINING)
    kind, entity = entities[0]
    return Finding(
        finding_id=f"claim-{number:04d}",
        tenant_id="acme",
        detector=name.partition(".")[0],
        detector_version="1",
        rule_id=name,
        title=name,
        level="medium",
        time_us=at_us,
        entity_type=kind,
        entity=entity,
        event_ids=(f"{number:08d}",),
        links=tuple(entities[1:]),
        fields=fields,
    )
