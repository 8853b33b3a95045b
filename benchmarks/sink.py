"""Measure the event sink against bare COPY: the same rows into the same hypertable in one run.

    make services; eval "$(deploy/local/services.sh env)"
    .venv/bin/python -m benchmarks.sink [--batches 24] [--rounds 5]

A commit is the product's own: offsets, source positions, live counts, and the events by COPY into
the hypertable with its indexes; with the counts per entity it is called `whole`, and the folds of
these counts are in it. Bare COPY is psycopg with the bytes ready, commit for commit, on a plain
connection without the pool: as CSV and as binary; `write_row` is what a program does that has rows.
Rounds alternate; the least of each measure counts, beside it the middle one of the rounds' ratios.
The server's CPU is that of all its backends in the database. Goals, of events and offsets: the sink
>= 0.8 of bare CSV by the wall, both ways, the client >= 400,000 rows a CPU-second.
"""

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import random  # noqa: E402  after the thread count is set
import resource  # noqa: E402  after the thread count is set
import statistics  # noqa: E402  after the thread count is set
import sys  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
import uuid  # noqa: E402  after the thread count is set
from collections.abc import Callable, Iterator, Sequence  # noqa: E402  after the thread count is set
from contextlib import contextmanager  # noqa: E402  after the thread count is set
from dataclasses import dataclass  # noqa: E402  after the thread count is set
from datetime import UTC, datetime  # noqa: E402  after the thread count is set
from typing import Final  # noqa: E402  after the thread count is set

import polars as pl  # noqa: E402  after the thread count is set
import psutil  # noqa: E402  after the thread count is set
import psycopg  # noqa: E402  after the thread count is set
from psycopg import Connection  # noqa: E402  after the thread count is set
from psycopg.conninfo import make_conninfo  # noqa: E402  after the thread count is set
from psycopg.rows import TupleRow  # noqa: E402  after the thread count is set

from pipelines.sinks import events, source_rates, window_counts  # noqa: E402  after the thread count is set
from pipelines.windows import WINDOW_S, count_windows  # noqa: E402  after the thread count is set
from storage.database import Database  # noqa: E402  after the thread count is set
from storage.database.commit import Sink, commit  # noqa: E402  after the thread count is set
from storage.database.dialect import ensure_days  # noqa: E402  after the thread count is set
from storage.database.queries import named  # noqa: E402  after the thread count is set
from storage.database.rollups import fold  # noqa: E402  after the thread count is set
from storage.database.rows import EVENT_COLUMNS, event_rows, hot_columns, storable_csv  # noqa: E402  after the thread count is set
from storage.identity import event_ids  # noqa: E402  after the thread count is set
from storage.outcome import Outcome, PartitionStep, SourceProgress  # noqa: E402  after the thread count is set
from storage.schema import MAX_BATCH_ROWS, EventBatch, dtypes  # noqa: E402  after the thread count is set
from storage.settings import Secret, Settings  # noqa: E402  after the thread count is set

GOAL_RATIO: Final = 0.8
GOAL_CLIENT: Final = 400_000
_ROWS: Final = MAX_BATCH_ROWS
_DAY: Final = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Run:
    """One way's round: rows, wall and CPU seconds of this process and of the server's backend."""

    rows: int
    wall_s: float
    client_s: float
    server_s: float

    @property
    def cpu_s(self) -> float:
        """Give the CPU-seconds of both."""
        return self.client_s + self.server_s


def made(batches: int, rate: int) -> list[EventBatch]:
    """Make batches of 5 tenants with 100 hosts each, two accounts and an address a host."""
    rng = random.Random(5)
    kinds = [rng.randrange(4) for _ in range(_ROWS)]
    hosts = [rng.randrange(500) for _ in range(_ROWS)]
    flows = [k >= 2 for k in kinds]
    starts = [k == 0 for k in kinds]
    frame = pl.DataFrame(
        {
            "tenant_id": [f"tenant-{h % 5}" for h in hosts],
            "class_uid": [(1007, 3002, 4001, 4003)[k] for k in kinds],
            "activity_id": [1] * _ROWS,
            "severity_id": [1] * _ROWS,
            "metadata.log_format": ["windows_json"] * _ROWS,
            "metadata.product.name": ["windows"] * _ROWS,
            "metadata.event_code": [("1", "4624", "3", "22")[k] for k in kinds],
            "source": [f"agent:{h:04d}" for h in hosts],
            "device.hostname": [f"WS-{h}.corp.example" for h in hosts],
            "actor.user.name": [f"CORP\\user{h + 500 * rng.randrange(2)}" for h in hosts],
            "process.file.path": [
                f"C:\\Windows\\System32\\tool{rng.randrange(90)}.exe" if s else None for s in starts
            ],
            "process.cmd_line": [f"tool.exe /c act {rng.random()}" if s else None for s in starts],
            "src_endpoint.ip": [
                f"10.1.{h // 250}.{h % 250}" if f else None
                for f, h in zip(flows, hosts, strict=True)
            ],
            "src_endpoint.port": [rng.randrange(65_536) if f else None for f in flows],
            "dst_endpoint.ip": [
                f"10.9.{rng.randrange(8)}.{rng.randrange(250)}" if f else None for f in flows
            ],
            "dst_endpoint.port": [443 if f else None for f in flows],
            "query.hostname": [
                f"h{rng.randrange(3000)}.example.com" if k == 3 else None for k in kinds
            ],
            "message": [f"An account did something on a machine, number {n}" for n in range(_ROWS)],
        }
    )
    return [_batch(frame, n, rate) for n in range(batches)]


def _batch(frame: pl.DataFrame, number: int, rate: int) -> EventBatch:
    first = number * _ROWS
    place = pl.int_range(first, first + _ROWS, dtype=pl.Int64, eager=True).alias("position")
    us = place * 1_000_000 // rate + int(_DAY.timestamp()) * 1_000_000
    at = us.cast(pl.Datetime("us", "UTC")).alias("time")
    stamped = frame.with_columns(
        place,
        at,
        at.alias("ingested_at"),
        pl.lit(False).alias("is_late"),
        pl.lit(False).alias("is_time_clamped"),
        pl.lit(1).alias("category_uid"),
        pl.lit(100_701).alias("type_uid"),
    )
    ids = event_ids("bench", "bench", stamped["time"].dt.epoch("us"), stamped["position"])
    names = {*stamped.columns, "event_id"}
    types = {name: kind for name, kind in dtypes().items() if name in names}
    return EventBatch.of(stamped.with_columns(ids).cast(types))  # type: ignore[arg-type]  # polars' own mapping


def outcomes(batches: Sequence[EventBatch]) -> list[Outcome]:
    """Give one commit a batch, with what a step of the flow says beside the events."""
    return [
        Outcome(
            "bench",
            tuple(PartitionStep("raw", p, n, n + 1, n) for p in range(8)),
            (batch,),
            window_counts=count_windows(batch.frame, WINDOW_S),
            sources=tuple(
                SourceProgress(f"tenant-{t}", f"agent:{a:04d}", "a", "windows_json", n + 1, 40, 0)
                for t in range(5)
                for a in range(8)
            ),
        )
        for n, batch in enumerate(batches)
    ]


@contextmanager
def database_on(admin: str) -> Iterator[Database]:
    """Lend a database of its own on the server, a hypertable in it if the extension is there."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            place = make_conninfo(admin, dbname=name)
            with psycopg.connect(place, autocommit=True) as own:
                own.execute("SET client_min_messages = error")
                loaded = own.execute("SHOW shared_preload_libraries").fetchone()
                if loaded is not None and "timescaledb" in loaded[0]:
                    own.execute("CREATE EXTENSION timescaledb")
            database = Database.open(Settings(database_url=Secret(place)))
            try:
                yield database
            finally:
                database.close()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def emptied(database: Database) -> None:
    """Empty what a round fills, have its chunk, and let no checkpoint of it run into the next."""
    with psycopg.connect(database.owner_login(), autocommit=True) as admin:
        admin.execute("SET client_min_messages = error")
        admin.execute(
            "TRUNCATE events, flow_offsets, sources, source_rates, event_hours, entity_packs,"
            " entity_deltas, entity_minutes, entity_hours, entity_days"
        )
        found = admin.execute("SELECT relkind FROM pg_class WHERE oid = 'events'::regclass")
        if found.fetchone() == ("r",):
            admin.execute("SELECT make_event_rest()")  # emptying a hypertable drops its chunks
        database.days_known.clear()
        ensure_days(database, [int(_DAY.timestamp()) // 86_400])
        admin.execute("CHECKPOINT")


def measured(database: Database, rows: int, act: Callable[[], object]) -> Run:
    """Run on an empty table. The server's share is that of all its backends in this database."""
    emptied(database)
    with psycopg.connect(database.owner_login(), autocommit=True) as admin:
        before, cpu, wall = _server_s(admin), time.process_time(), time.perf_counter()
        act()
        done = time.perf_counter() - wall
        used = time.process_time() - cpu
        after = _server_s(admin)
    return Run(rows, done, used, sum(s - before.get(pid, 0.0) for pid, s in after.items()))


def _server_s(admin: Connection[TupleRow]) -> dict[int, float]:
    """Give backend -> its CPU-seconds; the pool keeps its connections over a round."""
    found = admin.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND pid <> pg_backend_pid()"
    ).fetchall()
    return {pid: sum(psutil.Process(pid).cpu_times()[:2]) for (pid,) in found}


def by_sink(database: Database, given: Sequence[Outcome], sinks: Sequence[Sink]) -> None:
    """Commit as the flow does."""
    for outcome in given:
        commit(database, outcome, sinks)
    if window_counts.write in sinks:
        fold(database)


@contextmanager
def bare_on(database: Database) -> Iterator[Connection[TupleRow]]:
    """Lend a plain connection of the sink's role, without the pool and its checks."""
    with psycopg.connect(database.owner_login(), autocommit=True) as connection:
        connection.execute("SET search_path = inopsio, pg_catalog")
        connection.execute("SET ROLE inopsio_writer")
        yield connection


def by_copy(bare: Connection[TupleRow], query: bytes, ready: Sequence[bytes]) -> None:
    """Copy bytes that are ready, a commit each."""
    for rows in ready:
        with bare.transaction(), bare.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(rows)


def by_row(
    bare: Connection[TupleRow], query: bytes, batches: Sequence[list[tuple[object, ...]]]
) -> None:
    """Copy rows of Python objects one by one, a commit a batch."""
    for rows in batches:
        with bare.transaction(), bare.cursor() as cursor, cursor.copy(query) as copy:
            for row in rows:
                copy.write_row(row)


def binary_of(database: Database, batches: Sequence[EventBatch]) -> list[bytes]:
    """Let the server itself write each batch as binary COPY."""
    with psycopg.connect(database.owner_login(), autocommit=True) as admin:
        found = []
        for batch in batches:
            admin.execute("CREATE TEMP TABLE one (LIKE inopsio.events)")
            columns = named("events_copy").split(b"(", 1)[1].split(b")")[0]
            with admin.cursor() as cursor:
                with cursor.copy(b"COPY one (" + columns + b") FROM STDIN (FORMAT csv)") as copy:
                    copy.write(csv_of(batch))
                with cursor.copy(b"COPY one (" + columns + b") TO STDOUT (FORMAT binary)") as out:
                    found.append(b"".join(bytes(piece) for piece in out))
            admin.execute("DROP TABLE one")
        return found


def csv_of(batch: EventBatch) -> bytes:
    """Give the rows as CSV."""
    return storable_csv(hot_columns(batch.frame))


def objects_of(batch: EventBatch) -> list[tuple[object, ...]]:
    """Give the rows as Python objects."""
    columns = [
        pl.col(name) if name in batch.frame.columns else pl.lit(None).alias(column)
        for column, name in EVENT_COLUMNS.items()
    ]
    return batch.frame.select(columns).rows()


def main() -> int:
    """Measure each way, print the table; give 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sink", description=__doc__)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=5000, help="events a second of event time")
    parser.add_argument("--url", default=os.environ.get("INOPSIO_DATABASE_URL", ""))
    given = parser.parse_args()
    if not given.url:
        print("INOPSIO_DATABASE_URL names no server; make services, eval its env. Not measured.")
        return 0
    with database_on(given.url) as database:
        return _measure(database, made(given.batches, given.rate), given.rounds)


def _ways(
    database: Database, bare: Connection[TupleRow], batches: list[EventBatch]
) -> dict[str, Callable[[], object]]:
    steps = outcomes(batches)
    csv = [csv_of(batch) for batch in batches]
    binary = binary_of(database, batches)
    rows = [objects_of(batch) for batch in batches]
    as_binary = named("events_copy")
    as_csv = as_binary.replace(b"FORMAT binary", b"FORMAT csv")
    as_text = as_binary.replace(b" (FORMAT binary)", b"")
    kept: list[Sink] = [events.write, source_rates.write]
    return {
        "bare COPY, CSV ready": lambda: by_copy(bare, as_csv, csv),
        "bare COPY, binary ready": lambda: by_copy(bare, as_binary, binary),
        "bare COPY, write_row": lambda: by_row(bare, as_text, rows),
        "sink: events and offsets": lambda: by_sink(database, steps, [events.write]),
        "sink: and live counts": lambda: by_sink(database, steps, kept),
        "sink: whole, with rollups": lambda: by_sink(database, steps, [*kept, window_counts.write]),
    }


def _measure(database: Database, batches: list[EventBatch], rounds: int) -> int:
    count = len(batches)
    rows = count * _ROWS
    best: dict[str, Run] = {}
    walls: dict[str, list[float]] = {}
    with bare_on(database) as plain:
        ways = _ways(database, plain, batches)
        for _ in range(rounds):
            for name, act in ways.items():
                run = measured(database, rows, act)
                best[name] = _better(best.get(name, run), run)
                walls.setdefault(name, []).append(run.wall_s)
    bare = best["bare COPY, CSV ready"]
    each = walls["bare COPY, CSV ready"]
    middle = {
        name: statistics.median(b / own for b, own in zip(each, found, strict=True))
        for name, found in walls.items()
    }
    print(f"{rows:,} rows, {count} commits, {rounds} rounds, best of each; 27 columns")
    print(
        f"{'':26} {'rows/s':>9} {'of bare':>8} {'middle':>7} {'client rows/CPU-s':>18}"
        f" {'server us/row':>14} {'all CPU of bare':>16}"
    )
    for name, run in best.items():
        print(
            f"{name:26} {rows / run.wall_s:9,.0f} {bare.wall_s / run.wall_s:8.2f}"
            f" {middle[name]:7.2f} {rows / run.client_s:18,.0f} {run.server_s / rows * 1e6:14.1f}"
            f" {bare.cpu_s / run.cpu_s:16.2f}"
        )
    encoding = _encoding(batches)
    print(f"encoding alone: {encoding:,.0f} rows/CPU-s")
    print(f"memory, most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    sink = best["sink: events and offsets"]
    ratio = min(bare.wall_s / sink.wall_s, middle["sink: events and offsets"])
    met = {
        "ratio": ratio >= GOAL_RATIO,
        "client": rows / sink.client_s >= GOAL_CLIENT,
    }
    missed = [name for name, is_met in met.items() if not is_met]
    print(f"goals missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def _better(one: Run, two: Run) -> Run:
    """Give the least of each measure: other work on the machine only adds."""
    return Run(
        one.rows,
        min(one.wall_s, two.wall_s),
        min(one.client_s, two.client_s),
        min(one.server_s, two.server_s),
    )


def _encoding(batches: Sequence[EventBatch]) -> float:
    rates = []
    for _ in range(5):
        began = time.process_time()
        for batch in batches:
            b"".join(event_rows([batch.frame]))
        rates.append(len(batches) * _ROWS / (time.process_time() - began))
    return max(rates)


if __name__ == "__main__":
    sys.exit(main())
