"""Search 90 days of lake for new indicators, beside a replay of the same detector over everything.

    python -m benchmarks.past_match [--events 400000] [--indicators 1000]

Made-up flows and questions with long command lines beside, spread evenly over 90 days in a lake
of a database of its own. Both must claim the same; the peer is what `inopsio intel match` does:
every column, every indicator.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.indicators import events, feed
from deploy.house import House, opened
from deploy.matching import DAY_US, days_back
from pipelines.past_match import past_match
from pipelines.replay import replay
from storage.database.rows import insert_lake_files
from storage.indicators import put_indicators
from storage.schema import MAX_BATCH_ROWS, EventBatch, dtypes
from storage.schema.columns import ENVELOPE
from storage.schema.indicator import Indicator, Known
from storage.settings import Settings
from storage.tenant import Scope, system_scope

DAYS: Final = 90
_END_US: Final = 20_700 * DAY_US
_AT_ONCE: Final = 16 * MAX_BATCH_ROWS


def made(count: int, known: int) -> pl.DataFrame:
    """Give whole events in order of time; one in a thousand names an indicator."""
    span = DAYS * DAY_US
    times = pl.Series("time", np.linspace(_END_US - span, _END_US - 1, count).astype(np.int64))
    frame = events(count, known).with_columns(
        pl.format("{}-0000-7000-8000-{}", pl.lit("01990000"), "event_id").alias("event_id"),
        times.cast(pl.Datetime("us", "UTC")),
        pl.lit("x").alias("source"),
        pl.int_range(count, dtype=pl.Int64).alias("position"),
        pl.format("powershell -nop -enc {}", pl.col("event_id").repeat_by(6).list.join("")).alias(
            "process.cmd_line"
        ),
        pl.col("event_id").repeat_by(4).list.join("/").alias("file.path"),
    )
    types = dtypes()
    absent = [c.name for c in ENVELOPE if c.name not in frame.columns]
    whole = frame.with_columns(pl.lit(None, types[n]).alias(n) for n in absent)
    return whole.with_columns(ingested_at="time").cast({n: types[n] for n in whole.columns})


def fill(house: House, frame: pl.DataFrame) -> None:
    """Write the events into the lake, some hundred thousand a file."""
    for begin in range(0, frame.height, _AT_ONCE):
        part = frame.slice(begin, _AT_ONCE)
        batches = [EventBatch.of(piece) for piece in part.iter_slices(MAX_BATCH_ROWS)]
        files = house.lake.write(batches, "events", 0, begin, begin + part.height - 1)
        with house.database.writer() as tx:
            insert_lake_files(tx, files)


def ours(house: House, scope: Scope, known: pl.DataFrame) -> tuple[int, int, float]:
    """Give events, claims and CPU-seconds of the search."""
    began, ready, read, claims = time.process_time(), Known.of(known), 0, 0
    for begin_us, end_us in days_back(_END_US - DAYS * DAY_US, _END_US):
        for count, found in past_match(house.database, house.lake, scope, ready, begin_us, end_us):
            read, claims = read + count, claims + len(found)
    return read, claims, time.process_time() - began


def main() -> int:
    """Print both rates; 1 if they do not claim the same."""
    parser = argparse.ArgumentParser(description="new indicators in the past")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--indicators", type=int, default=1_000)
    given = parser.parse_args()
    known = feed(given.indicators)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        with opened(settings) as house:
            house.database.create_tenant("acme", "acme")
            scope = system_scope("acme", "bench")
            fill(house, made(given.events // 2 * 2, given.indicators))
            rows = known.select("type", "value").iter_rows()
            kept = [Indicator(kind, value, 0, None, 80, "feed") for kind, value in rows]
            with house.database.app(scope) as tx:
                put_indicators(scope, tx, "feed", kept, past=False)
            read, claims, spent = ours(house, scope, known)
            began = time.process_time()
            span = (_END_US - DAYS * DAY_US, _END_US)
            told = replay(
                settings, house.database, house.lake, *span, "acme", only=frozenset({"indicators"})
            )
            slow = time.process_time() - began
    print(f"{read:,} events of {DAYS} days, {known.height:,} indicators, {claims:,} claims")
    print(f"search: {read / spent:,.0f} events/CPU-s")
    print(f"replay: {told.events / slow:,.0f} events/CPU-s; the search is {slow / spent:.1f} x")
    return 0 if claims == told.findings > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
