"""The real path from raw bytes to findings: parser, batch, compiled rules of the house."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import yaml

from detectors import sigma
from pipelines.formats import detect_format
from pipelines.parsing import parse_stream
from storage.schema import Context, EventBatch, Finding
from tests.shared import ROOT

NOW_US: Final = 1_767_225_600_000_000
"""Arrival of every walk, 2026-01-01, after all their events."""


@cache
def house_rules() -> sigma.RuleSet:
    """Compile detectors/rules once."""
    return sigma.compile_rules([ROOT / "detectors" / "rules"])


@cache
def rule_id(stem: str) -> str:
    """Give the id of the house rule in the file of that name."""
    (file,) = (ROOT / "detectors" / "rules").rglob(f"{stem}.yml")
    return str(yaml.safe_load(file.read_text(encoding="utf-8"))["id"])


def batches(raw: bytes | Iterable[bytes], log_format: str = "") -> Iterator[EventBatch]:
    """Parse as the format that the content shows, or the one named; nothing may be refused."""
    chunks = [raw] if isinstance(raw, bytes) else raw
    found = log_format or detect_format(raw if isinstance(raw, bytes) else b"", "walk")
    for batch, rejects in parse_stream(
        found, chunks, tenant_id="acme", source="walk", ingested_at_us=NOW_US
    ):
        assert not rejects
        yield batch


def findings(raw: bytes, log_format: str = "") -> list[Finding]:
    """Give what the house rules say of raw input, in the order of its events."""
    context = Context(watermark_us=0, rules={"": house_rules()})
    return [f for b in batches(raw, log_format) for f in sigma.detect({}, b, context)[1]]
