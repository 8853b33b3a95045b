"""A ledger in memory with the promises of the real one, for tests of the flow alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import orjson
import polars as pl

from pipelines.decode import Run, origin_of
from pipelines.ledger import Standing
from pipelines.parsers import Reject
from pipelines.parsing import stamp
from pipelines.step import House
from pipelines.windows import add_counts
from storage.log import EventLog, Record
from storage.outcome import DeadLetter, Outcome
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State, finding_id

T0_US = 1_700_000_000_000_000


@dataclass
class MemoryLedger:
    """Keep everything in dictionaries; `refuse` may raise as a sink would."""

    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    state: dict[tuple[str, int], bytes] = field(default_factory=dict)
    positions_: dict[tuple[str, str], int] = field(default_factory=dict)
    frames: list[pl.DataFrame] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    counts: list[pl.DataFrame] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    commits: int = 0
    refuse: Callable[[Outcome], None] = lambda outcome: None

    def standing(self, flow: str, topic: str) -> Standing:
        offsets = {p: offset for p, (offset, _) in self.offsets.items()}
        return Standing(offsets, {p: mark for p, (_, mark) in self.offsets.items()}, self.state)

    def positions(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        return {pair: self.positions_[pair] for pair in pairs if pair in self.positions_}

    def check(self, outcome: Outcome) -> None:
        self.refuse(outcome)

    def commit(self, outcome: Outcome) -> bool:
        if any(self.offsets.get(s.partition, (0, 0))[0] != s.expected for s in outcome.steps):
            return False
        self.refuse(outcome)
        for s in outcome.steps:
            self.offsets[s.partition] = (s.next_offset, s.watermark_us)
        self.state.update(outcome.state)
        for source in outcome.sources:
            self.positions_[source.tenant_id, source.source] = source.next_position
        self.frames += [batch.frame for batch in outcome.batches]
        for finding in outcome.findings:
            assert finding.finding_id not in self.findings
            self.findings[finding.finding_id] = finding
        if outcome.window_counts is not None:
            self.counts.append(outcome.window_counts)
        self.letters += outcome.dead_letters
        self.commits += 1
        return True

    def events(self) -> pl.DataFrame:
        """Give all events, in a canonical order."""
        if not self.frames:
            return pl.DataFrame()
        whole = pl.concat(self.frames, how="diagonal").sort("tenant_id", "source", "position")
        return whole.select(sorted(whole.columns))

    def window_counts(self) -> list[tuple[object, ...]]:
        """Give the counts added up, as rows."""
        return add_counts(self.counts).rows()


def parse_json(run: Run) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Read lines {"t": second, "h": host, "n": number}; anything else is a reject."""
    tenant_id, source, first = origin_of(run[0])
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    for i, line in enumerate(b"".join(m.value for m in run).splitlines()):
        try:
            found = orjson.loads(line)
            rows.append({"position": i, "t": found["t"], "h": found["h"], "n": str(found["n"])})
        except (ValueError, KeyError, TypeError):
            rejects.append(Reject(first + i, "not a test event", line))
    schema = {"position": pl.Int64, "t": pl.Int64, "h": pl.String, "n": pl.String}
    frame = pl.DataFrame(rows, schema=schema).select(
        "position",
        (pl.lit(T0_US) + pl.col("t") * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("time"),
        pl.lit(1007, pl.Int32).alias("class_uid"),
        pl.col("h").alias("device.hostname"),
        pl.col("n").alias("unmapped.n"),
    )
    batch = stamp(
        frame,
        tenant_id=tenant_id,
        source=source,
        format="test",
        ingested_at_us=run[0].appended_at_us,
        first_position=first,
    )
    yield batch, rejects


def record(
    rows: Sequence[tuple[int, str, object]], position: int, tenant: str = "acme", source: str = "s1"
) -> Record:
    """Make a message of (second, host, number) rows, the first being record `position`."""
    lines = [orjson.dumps({"t": t, "h": h, "n": n}) for t, h, n in rows]
    return raw_record(b"\n".join(lines) + b"\n", position, tenant, source)


def raw_record(value: bytes, position: int, tenant: str = "acme", source: str = "s1") -> Record:
    """Make a message of any bytes."""
    headers = {
        "tenant": tenant,
        "source": source,
        "position": str(position),
        "format": "test",
        "name": source,
    }
    return Record(f"{tenant}{source}".encode(), value, headers)


META = DetectorMeta(
    name="burst",
    version="1",
    title="Counts in-order events of a host per minute; claims closed minutes with three or more",
    tables={
        "open": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "minute": pl.Int64(),
            "events": pl.Int64(),
        }
    },
)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Keep open minutes per host; close those that end at or before the watermark."""
    minute = (pl.col("time").dt.epoch("us") // 60_000_000).alias("minute")
    new = (
        batch.frame.filter(~pl.col("is_late"))
        if "device.hostname" in batch.frame.columns
        else batch.frame.clear().with_columns(pl.lit(None, pl.String).alias("device.hostname"))
    )
    counted = (
        new.group_by("tenant_id", pl.col("device.hostname").alias("key"), minute)
        .agg(pl.len().cast(pl.Int64).alias("events"))
        .select(list(META.tables["open"]))
    )
    both = pl.concat([state["open"], counted]).group_by("tenant_id", "key", "minute").sum()
    is_closed = (pl.col("minute") + 1) * 60_000_000 <= context.watermark_us
    claims = both.filter(is_closed & (pl.col("events") >= 3)).sort("tenant_id", "key", "minute")
    found = [
        Finding(
            finding_id(tenant, "burst", "1", "burst", f"{key}/{minute}"),
            tenant,
            "burst",
            "1",
            "burst",
            "burst",
            "low",
            minute * 60_000_000,
            "host",
            key,
            (),
            events,
        )
        for tenant, key, minute, events in claims.rows()
    ]
    rest = both.filter(~is_closed)
    if rest.equals(state["open"]):
        return state, found
    return {"open": rest.select(list(META.tables["open"]))}, found


def burst() -> ModuleType:
    """Give this file's detector as a module of its own."""
    module = ModuleType("burst")
    module.META = META  # type: ignore[attr-defined]  # made up on the spot
    module.detect = detect  # type: ignore[attr-defined]  # made up on the spot
    return module


def house(detectors: dict[str, ModuleType] | None = None, batch_rows: int = 8192) -> House:
    """Give a house with the test parser and, unless others are given, the burst detector."""
    found = {"burst": burst()} if detectors is None else detectors
    return House("events", "raw.events", batch_rows, 600, found, Context(0), parse_json)


def fill(log: EventLog, records: list[Record]) -> None:
    """Append the records to the raw topic."""
    log.append("raw.events", records)
