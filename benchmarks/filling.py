"""Fill a house for measuring: events in the hot days and in the lake, findings that point to them.

Event n of `count` lies n steps before the end, over 30 days; its id is derived as the product does,
so that a finding's events are found in the lake.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from storage.database import Database
from storage.database.dialect import ensure_days
from storage.database.rollups import fold
from storage.database.rows import insert_lake_files
from storage.identity import event_ids
from storage.lake import Lake
from storage.schema import MAX_BATCH_ROWS, EventBatch, dtypes

DAYS: Final = 30
_PIECE: Final = 20 * MAX_BATCH_ROWS
_SOURCE: Final = "made"
_SPAN: Final = "%(end)s - n * interval '30 days' / %(count)s"
_FILL: Final = {
    "events": f"""
INSERT INTO events (tenant_id, event_id, "time", class_uid, activity_id, log_format, product,
    source, "position", hostname, actor_user, process_path, src_ip, dst_ip, message)
SELECT 'main', id, {_SPAN}, (ARRAY[1007, 4001, 4003, 3002])[1 + n %% 4], 1, 'made',
    'windows', 'made', n, 'WS-' || n %% 300, 'user' || n %% 300, 'C:\\tool' || n %% 50 || '.exe',
    '10.0.' || n %% 200 || '.' || n %% 250, '10.1.0.' || n %% 250, 'event'
FROM unnest(%(ids)s::uuid[], %(places)s::bigint[]) AS e(id, n)""",
    "findings": f"""
INSERT INTO findings (tenant_id, finding_id, "time", detector, detector_version, rule_id, title,
    level, entity_type, entity, event_ids, event_count, reasons, attack, kind, created_at)
SELECT 'main', gen_random_uuid(), {_SPAN}, 'sigma', '1', 'rule-' || f %% 40,
    'A claim of rule ' || f %% 40,
    (ARRAY['critical', 'high', 'medium', 'low', 'informational'])[1 + f %% 5], 'host',
    'WS-' || n %% 300, ARRAY[id], 1 + f %% 9, '[]', ARRAY['T1059.001'],
    CASE WHEN f %% 10 = 0 THEN 'signal' ELSE 'finding' END, {_SPAN}
FROM unnest(%(ids)s::uuid[], %(places)s::bigint[]) WITH ORDINALITY AS e(id, n, f)""",
    "entity_deltas": f"""
INSERT INTO entity_deltas (tenant_id, entity_type, entity, class_uid, minute, events)
SELECT 'main', 'host', 'ws-' || n %% 300, 1007, date_bin('10 min', {_SPAN}, 'epoch'), 4
FROM generate_series(1, %(count)s) AS n""",
    "event_hours": """
INSERT INTO event_hours (tenant_id, hour, events)
SELECT 'main', date_trunc('hour', %(end)s) - n * interval '1 hour', 7000
FROM generate_series(1, 720) AS n""",
}
"""A benchmark's filling, no query of the product: it stays here."""


def fill(database: Database, lake: Lake, events: int, findings: int) -> None:
    """Write everything in pieces, as the writer, and say how long it took."""
    end = datetime.now(UTC)
    today = int(time.time() // 86_400)
    ensure_days(database, list(range(today - DAYS - 1, today + 1)))
    began = time.monotonic()
    files = 0
    for frame in made(end, events):
        _run(database, "events", frame, {"count": events, "end": end})
        batches = [EventBatch.of(frame[i : i + MAX_BATCH_ROWS]) for i in _starts(frame.height)]
        first, last = frame["position"][0], frame["position"][-1]
        listed = lake.write(batches, "made", 0, int(first), int(last))
        with database.writer() as tx:
            insert_lake_files(tx, listed)
        files += len(listed)
    print(f"events: {events:,}, in {files} lake files, {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    places = pl.int_range(1, findings + 1, eager=True) * max(1, events // findings)
    _run(database, "findings", _placed(end, events, places), {"count": events, "end": end})
    for table, count in (("entity_deltas", events // 4), ("event_hours", 720)):
        with database.writer() as tx:
            tx.execute(_FILL[table].encode(), {"count": count, "end": end})
    fold(database)
    with database.owner() as tx:
        tx.execute("ANALYZE")
    print(f"findings: {findings:,} and the counts, {time.monotonic() - began:.0f} s")


def _run(database: Database, table: str, frame: pl.DataFrame, given: dict[str, object]) -> None:
    told = {"ids": frame["event_id"].to_list(), "places": frame["position"].to_list()}
    with database.writer() as tx:
        tx.execute(_FILL[table].encode(), {**given, **told})


def _starts(rows: int) -> range:
    return range(0, rows, MAX_BATCH_ROWS)


def made(end: datetime, count: int) -> Iterator[pl.DataFrame]:
    """Give the events' columns in pieces, as a flow would have them, the newest first."""
    for first in range(1, count + 1, _PIECE):
        places = pl.int_range(first, min(first + _PIECE, count + 1), eager=True)
        yield _told(_placed(end, count, places))


def _placed(end: datetime, count: int, places: pl.Series) -> pl.DataFrame:
    end_us = int(end.timestamp() * 1_000_000)
    span_us = int(timedelta(days=DAYS).total_seconds()) * 1_000_000
    frame = pl.DataFrame({"position": places})
    us = frame.select(end_us - pl.col("position") * (span_us // count)).to_series()
    ids = event_ids("main", _SOURCE, us, places)
    return frame.with_columns(ids, us.cast(pl.Datetime("us", "UTC")).alias("time"))


def _told(frame: pl.DataFrame) -> pl.DataFrame:
    n = pl.col("position")
    kind = n % 4
    program = pl.format("C:\\Windows\\tool{}.exe", n % 50)
    frame = frame.with_columns(
        tenant_id=pl.lit("main"),
        ingested_at=pl.col("time"),
        source=pl.lit(_SOURCE),
        is_late=pl.lit(value=False),
        is_time_clamped=pl.lit(value=False),
        category_uid=pl.lit(1),
        class_uid=kind.replace_strict([0, 1, 2, 3], [1007, 4001, 4003, 3002]),
        activity_id=pl.lit(1),
        type_uid=pl.lit(100_701),
        severity_id=pl.lit(1),
    )
    frame = frame.with_columns(
        pl.lit("made").alias("metadata.log_format"),
        pl.lit("windows").alias("metadata.product.name"),
        (n % 9 + 1).cast(pl.String).alias("metadata.event_code"),
        pl.format("WS-{}", n % 300).alias("device.hostname"),
        pl.format("user{}", n % 300).alias("actor.user.name"),
        pl.when(kind == 0).then(program).alias("process.file.path"),
        pl.when(kind == 0)
        .then(pl.format("tool{}.exe /run {} /to \\\\srv{}\\share", n % 50, n * 7919, n % 40))
        .alias("process.cmd_line"),
        pl.when(kind == 0).then(n * 31 % 32_768).alias("process.pid"),
        pl.when(kind == 3).then(pl.format("user{}", n * 7 % 300)).alias("user.name"),
        pl.when(kind != 0).then(pl.format("10.0.{}.{}", n % 200, n % 250)).alias("src_endpoint.ip"),
        pl.when(kind == 1).then(pl.format("10.1.0.{}", n % 250)).alias("dst_endpoint.ip"),
        pl.when(kind == 1).then(n * 13 % 1000).alias("dst_endpoint.port"),
        pl.when(kind == 2).then(pl.format("host{}.test", n * 7 % 5000)).alias("query.hostname"),
        pl.format("event {} of a machine that tells much", n).alias("message"),
    )
    kinds = dtypes()
    return frame.cast({name: kinds[name] for name in frame.columns})


def lake_of(folder: Path) -> Lake:
    """Give the lake of a house's data folder."""
    return Lake(folder / "lake")
