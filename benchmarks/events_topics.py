"""Measure what topics `events.TENANT` cost: batches to bytes and back, and their share of the flow.

    .venv/bin/python -m benchmarks.events_topics [--events 40000] [--rounds 3]

Real Windows events, one thread. In the same run: pyarrow writing the same tables as Arrow streams
(the raw limit), JSON lines of the same rows (what readers would get else), and the flow with 50
rules, embedded PostgreSQL and lake, without and with the topics, by turns. CPU-seconds of this
process, the best of the rounds; the server's beside it.
"""

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import io  # noqa: E402  after the thread count is set
import shutil  # noqa: E402  after the thread count is set
import tempfile  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
from collections.abc import Callable, Sequence  # noqa: E402  after the thread count is set
from dataclasses import replace  # noqa: E402  after the thread count is set
from functools import partial  # noqa: E402  after the thread count is set
from pathlib import Path  # noqa: E402  after the thread count is set
from typing import cast  # noqa: E402  after the thread count is set

import orjson  # noqa: E402  after the thread count is set
import polars as pl  # noqa: E402  after the thread count is set
import psutil  # noqa: E402  after the thread count is set
import pyarrow as pa  # noqa: E402  after the thread count is set

import pipelines.flow  # noqa: E402  after the thread count is set
from benchmarks.otrf import RepeatedLog, base_lines, rule_folder  # noqa: E402  after the thread count is set
from benchmarks.throughput import RULES, run_flow, server_cpu_s  # noqa: E402  after the thread count is set
from pipelines.decode import parse_run  # noqa: E402  after the thread count is set
from storage.database import Database, embedded  # noqa: E402  after the thread count is set
from storage.log import EventLog, Message  # noqa: E402  after the thread count is set
from storage.settings import Settings  # noqa: E402  after the thread count is set
from storage.wire import EVENTS  # noqa: E402  after the thread count is set
from storage.wire.batches import batch_of, written  # noqa: E402  after the thread count is set


def frames_of(log: RepeatedLog, rows: int = 8192) -> list[pl.DataFrame]:
    """Give the log's events as frames of so many rows of one tenant."""
    found: dict[str, list[pl.DataFrame]] = {}
    for message in log.all_messages():
        parts = [batch.frame for batch, _ in parse_run((message,))]
        found.setdefault(message.headers["tenant"], []).extend(parts)
    return [
        piece
        for parts in found.values()
        for piece in pl.concat(parts, how="diagonal").iter_slices(rows)
    ]


def by_pyarrow(frame: pl.DataFrame) -> bytes:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
    with pa.ipc.new_stream(out, table.schema, options=options) as stream:
        stream.write_table(table)
    return out.getvalue()


def by_json(frame: pl.DataFrame) -> bytes:
    rows = ({k: v for k, v in row.items() if v is not None} for row in frame.iter_rows(named=True))
    return b"\n".join(orjson.dumps(row) for row in rows)


def ours(frame: pl.DataFrame) -> bytes:
    return b"".join(value for _, value in written(frame))


def _each(write: Callable[[pl.DataFrame], bytes], frames: Sequence[pl.DataFrame]) -> None:
    for frame in frames:
        write(frame)


def cpu_of(action: Callable[[], object], rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


def show_bytes(frames: Sequence[pl.DataFrame], rounds: int) -> None:
    """Print rows a CPU-second and bytes a row, of writing and of reading."""
    rows = sum(frame.height for frame in frames)
    rates: dict[str, float] = {}
    print(f"{'way':32}{'rows/CPU-s':>12}{'bytes a row':>13}")
    for name, write in (("ours", ours), ("pyarrow, the raw limit", by_pyarrow), ("JSON", by_json)):
        size = sum(len(write(frame)) for frame in frames)
        rates[name] = rows / cpu_of(partial(_each, write, frames), rounds)
        print(f"{f'write: {name}':32}{rates[name]:>12,.0f}{size / rows:>13.0f}")
    headers = {"schema": EVENTS}
    told = [Message("events.acme", 0, 0, b"", ours(f), headers, 0) for f in frames]
    lines = [by_json(frame) for frame in frames]
    read = rows / cpu_of(lambda: [batch_of(message) for message in told], rounds)
    plain = rows / cpu_of(lambda: [orjson.loads(one) for f in lines for one in f.split(b"\n")], 1)
    print(f"{'read: ours, to a checked batch':32}{read:>12,.0f}")
    print(f"{'read: JSON, to dicts':32}{plain:>12,.0f}")
    print(f"write: ours / pyarrow {rates['ours'] / rates['pyarrow, the raw limit']:.2f}")
    print(f"write: ours / JSON {rates['ours'] / rates['JSON']:.1f}; read {read / plain:.1f}")
    small = [frame[:50] for frame in frames]
    cost = cpu_of(partial(_each, ours, small), rounds) / len(small)
    mean = sum(len(ours(frame)) for frame in small) / len(small)
    print(f"a batch of 50 rows: {cost * 1e3:.2f} CPU-ms, {mean:,.0f} bytes")


def show_flow(log: RepeatedLog, folder: Path, rounds: int) -> None:
    """Print the CPU of the flow without and with the topics, by turns."""
    rules = rule_folder(folder / "rules", RULES)
    pipelines.flow.RULES = folder / "no-rules"  # type: ignore[misc]  # a benchmark's own choice
    settings = Settings(data_dir=folder, rules_dirs=str(rules))
    Database.open(settings).close()
    best = {"": (float("inf"), 0.0), "all": (float("inf"), 0.0)}
    for _ in range(rounds):
        for asked, (least, _server) in best.items():
            server, start = server_cpu_s(folder), time.process_time()
            run_flow("loop", cast("EventLog", log), replace(settings, events_topics=asked), {})
            told = time.process_time() - start, server_cpu_s(folder) - server
            if told[0] < least:
                best[asked] = told
    for asked, (cpu_s, server) in best.items():
        name = "flow with topics" if asked else "flow"
        rate = log.events / cpu_s
        print(
            f"{name:32}{rate:>12,.0f} events/CPU-s, server {server / log.events * 1e6:.1f} us each"
        )
    extra = (best["all"][0] - best[""][0]) / log.events * 1e6
    print(
        f"the topics cost {best['all'][0] / best[''][0] - 1:.1%} of the flow, {extra:.1f} us each"
    )
    print(f"memory {psutil.Process().memory_info().rss / 2**20:.0f} MB")


def main() -> None:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=40_000)
    words.add_argument("--rounds", type=int, default=3)
    given = words.parse_args()
    log = RepeatedLog(base_lines(), given.events)
    show_bytes(frames_of(log), given.rounds)
    folder = Path(tempfile.mkdtemp(prefix="inopsio-bench-"))
    try:
        show_flow(log, folder, given.rounds)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
