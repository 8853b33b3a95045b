"""Run rules over files without any server: read, match, count."""

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from deploy.output import progress
from detectors.sigma import RuleSet
from pipelines.parsing import parse_stream
from pipelines.sources.files import Input, walk
from storage.errors import InvalidBatch, InvalidInput
from storage.schema import MAX_BATCH_ROWS, EventBatch

TENANT: Final = "offline"
MOST_POSITIONS: Final = 20
Refuse = Callable[[str, str], None]
"""Told (file or member, reason) of whatever could not be read."""


@dataclass(frozen=True, slots=True)
class RuleHit:
    """Say that a rule matches `count` events of a file; `events`: positions of the first 20."""

    file: str
    rule_id: str
    rule: str
    level: str
    count: int
    events: tuple[int, ...]

    def row(self) -> dict[str, object]:
        """Give the line that `--json` prints."""
        return {
            "file": self.file,
            "rule_id": self.rule_id,
            "rule": self.rule,
            "level": self.level,
            "count": self.count,
            "events": self.events,
        }


@dataclass(slots=True)
class _Tally:
    """Hold one file's hits so far: rule -> (count, first positions)."""

    file: str
    counts: dict[int, int] = field(default_factory=dict)
    positions: dict[int, list[int]] = field(default_factory=dict)

    def add(self, rule: int, positions: Sequence[int]) -> None:
        self.counts[rule] = self.counts.get(rule, 0) + len(positions)
        kept = self.positions.setdefault(rule, [])
        kept.extend(positions[: MOST_POSITIONS - len(kept)])

    def hits(self, rules: RuleSet) -> Iterator[RuleHit]:
        for rule, count in sorted(self.counts.items()):
            told = rules.rules[rule]
            yield RuleHit(
                self.file,
                told.rule_id,
                told.title,
                told.level,
                count,
                tuple(self.positions[rule]),
            )


@dataclass(slots=True)
class _Pool:
    """Gather small files into one frame: matching has a price per frame."""

    rules: RuleSet
    frames: list[pl.DataFrame] = field(default_factory=list)
    owners: list[_Tally] = field(default_factory=list)
    rows: int = 0

    def add(self, owner: _Tally, batch: EventBatch) -> None:
        self.frames.append(batch.frame)
        self.owners.append(owner)
        self.rows += len(batch)

    def flush(self) -> None:
        if not self.frames:
            return
        whole = pl.concat(self.frames, how="diagonal")
        owner = np.repeat(np.arange(len(self.frames)), [frame.height for frame in self.frames])
        events = pl.DataFrame({"owner": owner, "position": whole.get_column("position")})
        found = self.rules.match(whole)
        told = pl.concat([found, events[found.get_column("row")]], how="horizontal")
        by_file = told.group_by("owner", "rule", maintain_order=True).agg("position")
        for number, rule, positions in by_file.rows():
            self.owners[number].add(rule, positions)
        self.frames, self.owners, self.rows = [], [], 0


def detect_files(paths: Sequence[Path], rules: RuleSet, refuse: Refuse) -> Iterator[RuleHit]:
    """Give a RuleHit for each (file, rule) that matches, file by file in the order they are read.

    A folder's files are read in order; an archive is one file. `refuse` hears of every file and
    member that could not be read whole, which does not end the rest.
    """
    pool = _Pool(rules)
    waiting: list[_Tally] = []
    # An input must be read before the next is asked for, so files are taken one by one.
    by_file = itertools.groupby(walk(paths), key=lambda item: item.file)
    for file, items in progress(by_file, _count(paths), "files"):
        waiting.append(_Tally(file))
        for item in items:
            for batch in _batches(item, refuse):
                pool.add(waiting[-1], batch)
                if pool.rows >= MAX_BATCH_ROWS:
                    pool.flush()
        if not pool.rows:
            yield from _told(waiting, rules)
            waiting = []
    pool.flush()
    yield from _told(waiting, rules)


def _count(paths: Sequence[Path]) -> int:
    return sum(sum(len(names) for _, _, names in os.walk(p)) if p.is_dir() else 1 for p in paths)


def _told(tallies: Sequence[_Tally], rules: RuleSet) -> Iterator[RuleHit]:
    for tally in tallies:
        yield from tally.hits(rules)


def _batches(item: Input, refuse: Refuse) -> Iterator[EventBatch]:
    name = item.member
    rejected = 0
    first = ""
    try:
        if item.reason is not None:
            raise InvalidBatch(item.reason)
        log_format, chunks = item.detected()
        for batch, rejects in parse_stream(
            log_format,
            chunks,
            tenant_id=TENANT,
            source=name,
            name=name,
            ingested_at_us=time.time_ns() // 1000,
        ):
            first = first or next((f"record {r.position}: {r.reason}" for r in rejects), "")
            rejected += len(rejects)
            if len(batch):
                yield batch
    except InvalidInput as wrong:
        refuse(name, str(wrong).removeprefix(f"{name}: "))
    except OSError as wrong:
        refuse(name, f"cannot be read: {wrong.strerror or wrong}")
    if rejected:
        refuse(name, first + (f" (and {rejected - 1} more records)" if rejected > 1 else ""))
