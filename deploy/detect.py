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
from detectors import correlation
from detectors.sigma import SYSMON_CHANNEL, RuleSet, claims
from pipelines.parsing import parse_stream
from pipelines.signals import frame_of
from pipelines.sources.files import Input, walk
from storage.errors import InvalidBatch, InvalidInput
from storage.schema import MAX_BATCH_ROWS, Context, EventBatch, Finding, State

TENANT: Final = "offline"
MOST_POSITIONS: Final = 20
Refuse = Callable[[str, str], None]
"""Told (file or member, reason) of whatever could not be read."""


_ENDED_US: Final = 2**62
"""After every event: no file is left to read."""


@dataclass(frozen=True, slots=True)
class RuleHit:
    """Say that a rule matches `count` events of a file; `events`: positions of the first 20.

    A correlation: `count` matches; `file` is the one in which the parts lie, or the first of them
    and how many more; no positions.
    """

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
class _Count:
    """Count events, keeping the first positions."""

    events: int = 0
    positions: list[int] = field(default_factory=list)

    def add(self, events: int, positions: Sequence[int]) -> None:
        self.events += events
        self.positions += positions[: MOST_POSITIONS - len(self.positions)]


@dataclass(slots=True)
class _Tally:
    """Hold one file's hits so far.

    One process start is one hit, though Sysmon and the Security log both tell of it: hits in a log
    that only stands in are counted by host and dropped where the host's Sysmon says the same.
    """

    file: str
    counts: dict[int, _Count] = field(default_factory=dict)
    stand_ins: dict[tuple[int, str], _Count] = field(default_factory=dict)
    sysmon: set[tuple[str, str]] = field(default_factory=set)
    """(host, event code) of the Sysmon events in the file."""

    def add(self, rule: int, host: str, positions: Sequence[int], *, stands_in: bool) -> None:
        if stands_in:
            count = self.stand_ins.setdefault((rule, host), _Count())
        else:
            count = self.counts.setdefault(rule, _Count())
        count.add(len(positions), positions)

    def hits(self, rules: RuleSet) -> Iterator[RuleHit]:
        for (rule, host), more in self.stand_ins.items():
            if not any((host, code) in self.sysmon for code in rules.told_by(rule)):
                self.counts.setdefault(rule, _Count()).add(more.events, more.positions)
        for rule, count in sorted(self.counts.items()):
            told = rules.rules[rule]
            events = tuple(sorted(count.positions))
            yield RuleHit(self.file, told.rule_id, told.title, told.level, count.events, events)


@dataclass(slots=True)
class _Correlator:
    """Show the base rules' claims of all files to the correlations; files come in any order."""

    rules: RuleSet
    state: State = field(default_factory=correlation.META.empty_state)
    files: dict[str, str] = field(default_factory=dict)
    """Event id -> file."""
    found: list[Finding] = field(default_factory=list)
    bases: RuleSet = field(init=False)

    def __post_init__(self) -> None:
        self.bases = self.rules.bases()

    def add(self, whole: pl.DataFrame, files: Sequence[str], owner: Sequence[int]) -> None:
        """Take a frame; row i of it lies in `files[owner[i]]`."""
        if not self.rules.correlations:
            return
        made = claims(self.bases, whole)
        if made:
            ids = [claim.event_ids[0] for claim in made]
            rows = pl.DataFrame({"event_id": whole.get_column("event_id"), "owner": owner})
            places = rows.filter(pl.col("event_id").is_in(ids)).rows()
            self.files |= {event: files[number] for event, number in places}
        for piece in frame_of(made, 0).iter_slices(MAX_BATCH_ROWS):
            context = Context(0, {"": self.rules})
            self.state, new = correlation.detect(self.state, EventBatch.of(piece), context)
            self.found += new

    def hits(self) -> Iterator[RuleHit]:
        """Give what the correlations say, once all files were read: every window ends now."""
        nothing = EventBatch.of(frame_of([], 0))
        self.state, new = correlation.detect(
            self.state, nothing, Context(_ENDED_US, {"": self.rules})
        )
        self.found += new
        counts: dict[tuple[str, str], tuple[Finding, int]] = {}
        for one in self.found:
            files = sorted({self.files.get(e, "") for e in one.event_ids})
            more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
            place = (files[0] + more, one.rule_id)
            counts[place] = (one, counts.get(place, (one, 0))[1] + 1)
        for (file, rule_id), (one, count) in sorted(counts.items(), key=lambda c: c[0]):
            yield RuleHit(file, rule_id, one.title, one.level, count, ())


@dataclass(slots=True)
class _Pool:
    """Gather small files into one frame: matching has a price per frame."""

    rules: RuleSet
    correlator: _Correlator
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
        events = pl.DataFrame(
            [
                pl.Series("owner", owner),
                whole.get_column("position"),
                _text(whole, "device.hostname").alias("host"),
                _text(whole, "metadata.event_code").alias("code"),
                (_text(whole, "metadata.log_name") == SYSMON_CHANNEL).alias("is_sysmon"),
            ]
        )
        sysmon = events.filter("is_sysmon").select("owner", "host", "code").unique()
        for number, host, code in sysmon.rows():
            self.owners[number].sysmon.add((host, code))
        self.correlator.add(whole, [tally.file for tally in self.owners], owner.tolist())
        found = self.rules.match(whole)
        told = pl.concat([found, events[found.get_column("row")]], how="horizontal")
        grouped = told.group_by("owner", "rule", "host", "stands_in", maintain_order=True)
        for number, rule, host, stands_in, positions in grouped.agg("position").rows():
            self.owners[number].add(rule, host, positions, stands_in=stands_in)
        self.frames, self.owners, self.rows = [], [], 0


def detect_files(paths: Sequence[Path], rules: RuleSet, refuse: Refuse) -> Iterator[RuleHit]:
    """Give a RuleHit for each (file, rule) that matches, file by file in the order they are read.

    Correlations over the rules' claims in all files come last.

    A folder's files are read in order; an archive is one file. `refuse` hears of every file and
    member that could not be read whole, which does not end the rest.
    """
    correlator = _Correlator(rules)
    pool = _Pool(rules, correlator)
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
    yield from correlator.hits()


def read_batches(paths: Sequence[Path], refuse: Refuse) -> Iterator[EventBatch]:
    """Give the events of files, folders and archives; `refuse` as in `detect_files`."""
    for item in walk(paths):
        yield from _batches(item, refuse)


def _count(paths: Sequence[Path]) -> int:
    return sum(sum(len(names) for _, _, names in os.walk(p)) if p.is_dir() else 1 for p in paths)


def _text(frame: pl.DataFrame, column: str) -> pl.Series:
    if column not in frame.columns:
        return pl.Series([""]).new_from_index(0, frame.height)
    return frame.get_column(column).fill_null("")


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
