"""The Windows routes say what pySigma's pipelines say, for every log source and channel."""

import itertools

import polars as pl
import pytest
import yaml
from sigma.pipelines.common import windows_logsource_mapping
from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
from sigma.pipelines.windows.windows import (
    windows_audit_pipeline,
    windows_generic_category_channel_mapping,
    windows_logsource_pipeline,
)
from sigma.processing.pipeline import ProcessingPipeline
from sigma.rule import SigmaRule

from detectors._sigma.logsource import AUDIT, CHANNELS, POWERSHELL, SYSMON
from detectors._sigma.read import compile_text
from detectors.sigma import CompiledRule, RuleSet
from tests.detectors.oracle import matches

OPERATIONS = ["New registry value created", "Existing registry value modified", "x"]
CODES = [*range(1, 31), 255, 400, 600, 800, 4103, 4104, 4657, 4688, 9999]
CATEGORIES = [*SYSMON, *POWERSHELL, "file_access", "unheard_of"]


def _events() -> list[dict[str, str | None]]:
    channels = ["Other", *itertools.chain.from_iterable(CHANNELS.values())]
    found: list[dict[str, str | None]] = [
        {"Channel": channel, "EventID": str(code), "OperationType": None}
        for channel in channels
        for code in CODES
    ]
    found += [
        {"Channel": "Security", "EventID": "4657", "OperationType": word} for word in OPERATIONS
    ]
    names = ["Image", "NewProcessName", "ProcessName", "ParentImage", "ParentProcessName"]
    return [e | {name: "x"} for e in found for name in names]


EVENTS = _events()
FRAME = pl.DataFrame(
    {
        "metadata.product.name": ["windows"] * len(EVENTS),
        "metadata.log_format": ["evtx"] * len(EVENTS),
        "metadata.log_name": [e["Channel"] for e in EVENTS],
        "metadata.event_code": [e["EventID"] for e in EVENTS],
        "class_uid": [0] * len(EVENTS),
    }
    | {
        f"unmapped.{name}": [e.get(name) for e in EVENTS]
        for name in sorted({n for e in EVENTS for n in e})
    }
)


def _ours(rule: dict[str, object]) -> set[int]:
    found = compile_text(yaml.safe_dump(rule).encode(), "r.yml", {})[0]
    assert isinstance(found, CompiledRule)
    return set(RuleSet([found]).match(FRAME).get_column("row").to_list())


def _theirs(rule: dict[str, object], pipeline: ProcessingPipeline) -> set[int]:
    parsed = SigmaRule.from_dict(yaml.safe_load(yaml.safe_dump(rule)))
    pipeline.apply(parsed)
    return {i for i, event in enumerate(EVENTS) if matches(parsed, event)}


def _rule(**logsource: str) -> dict[str, object]:
    detection = {"s": [{"Image": "x"}, {"ParentImage": "x"}], "condition": "s"}
    return {"title": "r", "logsource": {"product": "windows"} | logsource, "detection": detection}


def test_the_tables_name_the_same_log_sources() -> None:
    assert set(CHANNELS) == set(windows_logsource_mapping)
    assert set(POWERSHELL) == set(windows_generic_category_channel_mapping)


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_means_what_the_pipelines_say(category: str) -> None:
    rule = _rule(category=category)
    want = _theirs(rule, sysmon_pipeline() + windows_logsource_pipeline())
    if category in AUDIT:
        want |= _theirs(rule, windows_audit_pipeline() + windows_logsource_pipeline())
    assert _ours(rule) == want
    assert want


@pytest.mark.parametrize("service", [*CHANNELS, "unheard-of"])
def test_a_service_means_what_the_pipelines_say(service: str) -> None:
    rule = _rule(service=service)
    want = _theirs(rule, sysmon_pipeline() + windows_logsource_pipeline())
    assert _ours(rule) == want
    assert want
