"""Read a recorded scenario: what the sources of a company wrote, line by line, in order of time.

A line is `{"step", "source", "format", "record"}`; `step` names the part of the story, null is
ordinary life. First may come `{"indicator": {...}}`: what a feed had said.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from storage.indicators import FRAME
from storage.log import Record
from storage.schema.indicator import Indicator, Known
from tests.shared import ROOT

FOLDER: Final = ROOT / "tests" / "data" / "stories"


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a source; `position`: its place there, from 0."""

    step: str | None
    source: str
    format: str
    record: dict[str, Any]
    position: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A recorded scenario."""

    lines: tuple[Line, ...]
    indicators: tuple[Indicator, ...]

    @property
    def steps(self) -> list[str]:
        """Give the names of its steps, in order."""
        return list(dict.fromkeys(line.step for line in self.lines if line.step))

    def without(self, step: str) -> "Scenario":
        """Give it as if that step had not happened."""
        return Scenario(tuple(x for x in self.lines if x.step != step), self.indicators)

    def changed(self, step: str, **fields: object) -> "Scenario":
        """Give it with other values in the records of a step; `__` stands for a dot."""
        lines = [
            replace(x, record=_with(x.record, fields)) if x.step == step else x for x in self.lines
        ]
        return replace(self, lines=tuple(lines))

    def plus(self, *records: tuple[str, str, dict[str, Any]]) -> "Scenario":
        """Give it with more records, each at its own time."""
        more = [Line(None, *record, 10_000 + n) for n, record in enumerate(records)]
        return replace(self, lines=(*self.lines, *more))

    def records(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Give (source, format, record) of every line."""
        for line in self.lines:
            yield line.source, line.format, line.record

    def messages(self, tenant: str) -> list[Record]:
        """Give the lines as the front door leaves them in the log."""
        return [
            Record(
                tenant.encode(),
                json.dumps(line.record).encode() + b"\n",
                {
                    "tenant": tenant,
                    "source": line.source,
                    "position": str(line.position),
                    "format": line.format,
                    "name": line.source,
                },
            )
            for line in self.lines
        ]

    def known(self, tenant: str) -> dict[str, Known]:
        """Give the indicators as a detector is handed them."""
        rows = [
            (i.type, i.value, i.feed, i.valid_from_us, i.valid_until_us, i.confidence)
            for i in self.indicators
        ]
        return {tenant: Known.of(pl.DataFrame(rows, schema=FRAME, orient="row"))} if rows else {}


def _with(record: dict[str, Any], fields: Mapping[str, object]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(record))
    for name, value in fields.items():
        *path, last = name.split("__")
        place = copy
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return copy


def scenario(name: str) -> Scenario:
    """Read the file of that name."""
    return _scenario((FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines())


def recorded() -> list[Path]:
    """Give every file there is."""
    return sorted(FOLDER.glob("*.jsonl"))


def _scenario(texts: Iterable[str]) -> Scenario:
    counts: dict[str, int] = {}
    lines, indicators = [], []
    for told in map(json.loads, texts):
        if "indicator" in told:
            indicators.append(_indicator(told["indicator"]))
            continue
        place = counts.get(told["source"], 0)
        counts[told["source"]] = place + 1
        lines.append(Line(told["step"], told["source"], told["format"], told["record"], place))
    return Scenario(tuple(lines), tuple(indicators))


def _indicator(told: dict[str, Any]) -> Indicator:
    begin, end = (
        int(datetime.fromisoformat(told[n]).timestamp() * 1_000_000)
        for n in ("valid_from", "valid_until")
    )
    return Indicator(told["type"], told["value"], begin, end, told["confidence"], told["feed"])
