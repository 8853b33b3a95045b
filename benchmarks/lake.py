"""Measure the lake: its sink beside bare pyarrow, and questions to 50 million events by the hunt.

    python -m benchmarks.lake [--events 50000000] [--folder FOLDER] [--asks 60]

The sink sorts, parts by tenant, class and day, packs, syncs and names its files; the peer writes
the same rows with `pyarrow.parquet.write_table`, the same codec, as one table and as the same
sorted tables, and syncs them too. Then a lake of 10 days, one tenant with 40 % of the events and 15
small ones, written and merged by the product itself, and questions through `Lake.hunt`: its
sandbox, limits and answers in JSON, one process a question. With --folder the lake is kept there
and used again.
"""

import argparse
import os
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from deploy.house import House, opened
from storage.database.rows import insert_lake_files
from storage.identity import event_ids
from storage.lake import HuntLimits, Lake
from storage.schema import MAX_BATCH_ROWS, EventBatch, dtypes
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope

Spent = tuple[float, float]
DAY_US: Final = 86_400_000_000
HOUR_US: Final = 3_600_000_000
FIRST_DAY: Final = 20_700
DAYS: Final = 10
SMALL_TENANTS: Final = 15
BIG: Final = "acme"
BIG_SHARE: Final = 0.4
CLASSES: Final = ((1007, 0.6), (4001, 0.4))
_A_FILE: Final = 16 * MAX_BATCH_ROWS
_HOSTS: Final = 2000


def made(tenant: str, class_uid: int, times: np.ndarray, first: int) -> pl.DataFrame:
    """Give events of these times (UTC µs); `first`: their first position in the source."""
    rng = np.random.default_rng(first + class_uid)
    rows = len(times)
    host = (rng.pareto(1.2, rows) * 20).astype(np.int64) % _HOSTS
    hosts = pl.Series([f"host-{n:04}.{tenant}.example" for n in range(_HOSTS)])
    users = pl.Series([f"user{n:03}" for n in range(500)])
    position = pl.Series(np.arange(first, first + rows))
    moments = pl.Series(times)
    columns = {
        "event_id": event_ids(tenant, "made", moments, position),
        "time": moments.cast(pl.Datetime("us", "UTC")),
        "ingested_at": (moments + 1_500_000).cast(pl.Datetime("us", "UTC")),
        "position": position,
        "device.hostname": hosts.gather(host),
        "actor.user.name": users.gather(host * 7 % 500),
    }
    if class_uid == 4001:
        address = [f"10.{n >> 8}.{n & 255}.7" for n in range(4096)]
        columns["src_endpoint.ip"] = pl.Series(address).gather(host)
        columns["dst_endpoint.ip"] = pl.Series(address).gather(rng.integers(0, 4096, rows))
        columns["dst_endpoint.port"] = pl.Series(rng.choice([53, 80, 443, 445], rows))
        columns["traffic.bytes_out"] = pl.Series(rng.integers(40, 1 << 20, rows))
    else:
        path = [f"C:\\Windows\\System32\\tool{n}.exe" for n in range(300)]
        program = (rng.pareto(1.1, rows) * 9).astype(np.int64) % 300
        columns["process.file.path"] = pl.Series(path).gather(program)
        columns["process.pid"] = pl.Series(rng.integers(4, 65_000, rows))
        line = [f"{path[n % 300]} /run task-{n} --quiet" for n in range(20_000)]
        columns["process.cmd_line"] = pl.Series(line).gather(rng.integers(0, 20_000, rows))
    same = {
        "tenant_id": tenant,
        "source": "made",
        "is_late": False,
        "is_time_clamped": False,
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "activity_id": 1,
        "type_uid": class_uid * 100 + 1,
        "severity_id": 1,
        "metadata.log_format": "made",
        "metadata.product.name": "windows",
    }
    frame = pl.DataFrame(columns).with_columns(**{k: pl.lit(v) for k, v in same.items()})
    return frame.cast({n: t for n, t in dtypes().items() if n in frame.columns})


def batches_of(frame: pl.DataFrame) -> list[EventBatch]:
    """Cut a frame into batches."""
    return [EventBatch.of(piece) for piece in frame.iter_slices(MAX_BATCH_ROWS)]


# -- the sink ------------------------------------------------------------------------------------


def _spent(act: Callable[[], object]) -> Spent:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def sink(folder: Path, rows: int, tenants: int, days: int, rounds: int = 9) -> str:
    """Compare the lake's write with pyarrow's of the same rows; medians of the rounds."""
    each = rows // (tenants * days)
    parts = []
    for tenant in range(tenants):
        for day in range(days):
            at = (FIRST_DAY + day) * DAY_US
            times = np.linspace(at, at + DAY_US - 1, each).astype(np.int64)
            parts.append(made(f"t{tenant}", 1007, times, 1 + tenant))
    frame = pl.concat(parts)
    if tenants * days > 1:
        frame = frame.sample(fraction=1, shuffle=True, seed=7)
    batches = batches_of(frame)
    whole = [frame.to_arrow()]
    apart = [
        part.drop("day").sort("time", "event_id").to_arrow()
        for part in frame.with_columns(pl.col("time").dt.date().alias("day")).partition_by(
            "tenant_id", "day", include_key=True
        )
    ]
    lake = Lake(folder / "sink")
    told: dict[str, list[Spent]] = {
        name: [] for name in ("lake", "pyarrow, one file", "pyarrow, as many")
    }
    for turn in range(rounds):
        told["lake"].append(_spent(lambda at=turn: lake.write(batches, "raw", 0, at, at)))  # type: ignore[misc]
        told["pyarrow, one file"].append(_spent(lambda: _peer(folder, whole)))
        told["pyarrow, as many"].append(_spent(lambda: _peer(folder, apart)))
    wall, cpu = (statistics.median(one[i] for one in told["lake"]) for i in (0, 1))
    rates = f"{len(frame) / cpu:,.0f} rows/CPU-s, {len(frame) / wall:,.0f} rows/s"
    lines = [f"sink, {len(frame):,} rows, {len(apart)} files: {rates}"]
    for name in list(told)[1 : 3 if len(apart) > 1 else 2]:
        peer_wall, peer_cpu = (statistics.median(one[i] for one in told[name]) for i in (0, 1))
        lines.append(
            f"  {name}: {len(frame) / peer_cpu:,.0f} rows/CPU-s, {len(frame) / peer_wall:,.0f} "
            f"rows/s; ratio by CPU {peer_cpu / cpu:.2f}, by the wall {peer_wall / wall:.2f}"
        )
    return "\n".join(lines)


def _peer(folder: Path, tables: list[pa.Table]) -> None:
    for n, table in enumerate(tables):
        place = folder / f"peer{n}.parquet"
        pq.write_table(table, place, compression="zstd", compression_level=1)
        handle = os.open(place, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


# -- the lake ------------------------------------------------------------------------------------


def _shares() -> Iterator[tuple[str, float]]:
    yield BIG, BIG_SHARE
    for n in range(SMALL_TENANTS):
        yield f"small{n:02}", (1 - BIG_SHARE) / SMALL_TENANTS


def fill(house: House, events: int) -> None:
    """Write the events, about 130,000 a file, and merge each tenant's as its days rest."""
    began, cpu = time.monotonic(), time.process_time()
    for tenant, share in _shares():
        house.database.create_tenant(tenant, tenant)
        place = 1
        for day in range(FIRST_DAY, FIRST_DAY + DAYS):
            for class_uid, part in CLASSES:
                rows = int(events * share / DAYS * part)
                rng = np.random.default_rng(day * 10 + class_uid)
                times = np.sort(rng.integers(day * DAY_US, (day + 1) * DAY_US, rows))
                for at in range(0, rows, _A_FILE):
                    frame = made(tenant, class_uid, times[at : at + _A_FILE], place)
                    last = place + frame.height - 1
                    files = house.lake.write(batches_of(frame), "raw", 0, place, last)
                    with house.database.writer() as tx:
                        insert_lake_files(tx, files)
                    place = last + 1
    wall, spent = time.monotonic() - began, time.process_time() - cpu
    print(
        f"written: {wall:.0f} s, {spent:.0f} CPU-s, {events / spent:,.0f} events/CPU-s", flush=True
    )
    began, cpu = time.monotonic(), time.process_time()
    made_files = [f for t, _ in _shares() for f in house.lake.merge(house.database, t, quiet_s=-1)]
    wall, spent = time.monotonic() - began, time.process_time() - cpu
    merged = sum(f.events for f in made_files)
    print(
        f"merged: {merged:,} events into {len(made_files)} files in {wall:.0f} s, "
        f"{spent:.0f} CPU-s, "
        f"{merged / max(spent, 0.001):,.0f} events/CPU-s; "
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB",
        flush=True,
    )


@dataclass(frozen=True)
class Asked:
    """One question as it went."""

    wall_ms: float
    cpu_ms: float
    rss_mb: float
    rows: int
    files: int


class Watch:
    """Watch the memory of the hunt's process while a question runs."""

    def __enter__(self) -> Self:
        """Begin to look."""
        self.rss = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.02):
            for child in me.children():
                try:
                    if "_hunt_child.py" in " ".join(child.cmdline()):
                        self.rss = max(self.rss, child.memory_info().rss)
                except psutil.Error:
                    continue

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def ask(house: House, tenant: str, sql: str, limits: HuntLimits, pause_s: float) -> Asked:
    """Ask once, after a pause in which the next process gets ready."""
    scope = Scope(tenant, Actor("user", "bench"), frozenset({Role.ADMIN}))
    house.lake.warm()
    time.sleep(pause_s)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Watch() as watch:
        began = time.perf_counter()
        found = house.lake.hunt(house.database, scope, sql, limits)
        wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Asked(wall * 1000, cpu * 1000, watch.rss / 2**20, len(found.rows), found.files)


def _hour(rng: np.random.Generator) -> tuple[str, HuntLimits]:
    at = FIRST_DAY * DAY_US + int(rng.integers(0, DAYS * 24)) * HOUR_US
    sql = (
        'SELECT time, class_uid, "device.hostname", "actor.user.name" FROM events '
        f"WHERE \"device.hostname\" LIKE 'host-00{rng.integers(10, 99)}.%' ORDER BY time"
    )
    return sql, HuntLimits(since_us=at, until_us=at + HOUR_US, rows=1000)


def _hour_in_words(rng: np.random.Generator) -> tuple[str, HuntLimits]:
    sql, limits = _hour(rng)
    since, until = (
        str(pl.Series([us]).cast(pl.Datetime("us"))[0]) for us in (limits.since_us, limits.until_us)
    )
    inside = f"WHERE time >= '{since}+00' AND time < '{until}+00' AND "
    return sql.replace("WHERE ", inside), HuntLimits(rows=1000)


def _day(rng: np.random.Generator) -> tuple[str, HuntLimits]:
    at = (FIRST_DAY + int(rng.integers(0, DAYS))) * DAY_US
    sql = (
        'SELECT "device.hostname", count(*) AS events, min(time), max(time) FROM events '
        "GROUP BY 1 ORDER BY 2 DESC"
    )
    return sql, HuntLimits(since_us=at, until_us=at + DAY_US)


def _by_id(ids: list[str]) -> Callable[[np.random.Generator], tuple[str, HuntLimits]]:
    def question(rng: np.random.Generator) -> tuple[str, HuntLimits]:
        one = ids[int(rng.integers(0, len(ids)))]
        return f"SELECT * FROM events WHERE event_id = '{one}'", HuntLimits()

    return question


def questions(house: House, asks: int, pause_s: float) -> None:
    """Ask each kind of question `asks` times of each kind of tenant."""
    for tenant in (BIG, "small07"):
        scope = Scope(tenant, Actor("user", "bench"), frozenset({Role.ADMIN}))
        frame = house.lake.scan(house.database, scope, classes=[1007]).select("event_id")
        ids = frame.gather_every(9973).collect()["event_id"].to_list()
        kinds = {
            "tenant and hour": _hour,
            "the hour in the query's words": _hour_in_words,
            "group by host over a day": _day,
            "one event by its id": _by_id(ids),
        }
        for name, kind in kinds.items():
            rng = np.random.default_rng(5)
            told = [ask(house, tenant, *kind(rng), pause_s) for _ in range(asks)]
            walls = sorted(t.wall_ms for t in told)
            print(
                f"{tenant:8} {name:30} p50 {statistics.median(walls):6.0f} ms, "
                f"p95 {walls[int(len(walls) * 0.95) - 1]:6.0f} ms, "
                f"CPU {statistics.median(t.cpu_ms for t in told):6.0f} ms, "
                f"memory {max(t.rss_mb for t in told):4.0f} MiB, files {told[0].files}, "
                f"rows {statistics.median(t.rows for t in told):,.0f}",
                flush=True,
            )


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="the lake")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--asks", type=int, default=20)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between two questions")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for rows, tenants, days in ((8_192, 1, 1), (131_072, 1, 1), (131_072, 8, 2)):
            print(sink(Path(scratch), rows, tenants, days), flush=True)
        folder = given.folder or Path(scratch) / "house"
        is_new = not (folder / "lake").exists()
        with opened(Settings(data_dir=folder)) as house:
            if is_new:
                fill(house, given.events)
            with house.database.writer() as tx:
                told = tx.execute(
                    "SELECT count(*), sum(events), sum(size_bytes), max(size_bytes) "
                    "FROM lake_files WHERE replaced_by IS NULL"
                ).fetchone()
            assert told is not None
            print(
                f"lake: {int(told[1]):,} events in {told[0]} files, {int(told[2]) / 1e9:.2f} GB, "
                f"{told[2] / told[1]:.0f} bytes an event, largest {told[3] >> 20} MiB",
                flush=True,
            )
            questions(house, given.asks, given.pause)
            house.lake.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
