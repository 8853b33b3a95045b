"""Measure the flow: real Windows events in, 50 rules, counts, Parquet and commits; by CPU-second.

    .venv/bin/python -m benchmarks.throughput [--events 200000] [--peer-events 20000]

One process, one thread. In the same run: the decoder alone, the flow on both runners, and the same
job as a bytewax flow of one dict an event with bytewax's own window. CPU-seconds are this process'
(decoder, flow and peer alike); what the PostgreSQL server used besides is told apart.
"""

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import shutil  # noqa: E402  after the thread count is set
import tempfile  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
from collections.abc import Callable  # noqa: E402  after the thread count is set
from dataclasses import dataclass  # noqa: E402  after the thread count is set
from pathlib import Path  # noqa: E402  after the thread count is set
from typing import Final, TypeVar, cast  # noqa: E402  after the thread count is set

import psutil  # noqa: E402  the threads are set before polars is loaded

import pipelines.flow  # noqa: E402  after the thread count is set
from benchmarks.otrf import FORMAT, TENANTS, RepeatedLog, base_lines, rule_folder  # noqa: E402  after the thread count is set
from benchmarks.peer import run_peer  # noqa: E402  after the thread count is set
from pipelines.flow import flow_of, runner_named  # noqa: E402  after the thread count is set
from pipelines.parsing import parser_named  # noqa: E402  after the thread count is set
from pipelines.windows import WINDOW_S  # noqa: E402  after the thread count is set
from storage.database import Database, embedded  # noqa: E402  after the thread count is set
from storage.lake import Lake  # noqa: E402  after the thread count is set
from storage.log import EventLog  # noqa: E402  after the thread count is set
from storage.settings import Settings  # noqa: E402  after the thread count is set

T = TypeVar("T")
RULES: Final = 50


@dataclass(frozen=True)
class Run:
    """One measured run."""

    name: str
    events: int
    cpu_s: float
    server_cpu_s: float
    rss_mb: float
    note: str = ""

    @property
    def rate(self) -> float:
        """Give events per CPU-second of this process."""
        return self.events / self.cpu_s


def decoder_alone(log: RepeatedLog) -> int:
    """Decode to columns with the flow's own decoder, and nothing else."""
    rows = 0
    chunks = (m.value for m in log.all_messages())
    for parsed in parser_named(FORMAT).parse(chunks):
        rows += parsed.frame.height
    return rows


def server_cpu_s(folder: Path) -> float:
    """Give the CPU-seconds of the embedded server: those ended and those running."""
    total = 0.0
    for process in psutil.process_iter(["cmdline", "name"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words and "postgres" in words:
            for one in [process, *process.children(recursive=True)]:
                times = one.cpu_times()
                total += times.user + times.system
            times = process.cpu_times()
            return total + times.children_user + times.children_system
    return total


def run_flow(runner: str, log: EventLog, settings: Settings, stages: dict[str, float]) -> None:
    """Run the whole flow over the log on one runner, from a ledger that knows nothing."""
    database = Database.open(settings)
    try:
        for tenant in TENANTS:
            database.create_tenant(tenant)
        with database.owner() as tx:
            tx.execute("TRUNCATE flow_offsets, flow_state, sources, lake_files, outbox")
            tx.execute("TRUNCATE entity_packs, entity_minutes, entity_hours, entity_days")
            tx.execute("TRUNCATE findings, events")
        flow = flow_of(settings, database, log, Lake(settings.data_dir / "lake" / runner))
        for name in ("poll", "process", "commit"):
            setattr(flow, name, _timed(stages, name, getattr(flow, name)))
        runner_named(runner).run(flow, once=True)
    finally:
        database.close()


def _timed(stages: dict[str, float], name: str, action: Callable[..., T]) -> Callable[..., T]:
    def call(*args: object) -> T:
        start = time.process_time()
        try:
            return action(*args)
        finally:
            stages[name] = stages.get(name, 0.0) + time.process_time() - start

    return call


def measured(
    name: str, folder: Path, events: int, action: Callable[[], object], note: str = ""
) -> Run:
    """Run the action; give its CPU time, that of the database server, and the RSS after it."""
    server = server_cpu_s(folder)
    start = time.process_time()
    action()
    cpu_s = time.process_time() - start
    rss = psutil.Process().memory_info().rss / 2**20
    return Run(name, events, cpu_s, server_cpu_s(folder) - server, rss, note)


def compare(events: int, peer_events: int, folder: Path) -> list[Run]:
    """Run decoder, flow on both runners, decoder again and the peer; print the table."""
    lines = base_lines()
    log, peer_log = RepeatedLog(lines, events), RepeatedLog(lines, peer_events)
    warm = RepeatedLog(lines, 2000)
    del lines
    rules = rule_folder(folder / "rules", RULES)
    # These 50 rules and no others, so that the figure does not change with the house's own.
    pipelines.flow.RULES = folder / "no-rules"  # type: ignore[misc]  # a benchmark's own choice
    settings = Settings(data_dir=folder, rules_dirs=str(rules))
    Database.open(settings).close()
    decoder_alone(warm)
    run_flow("loop", cast("EventLog", warm), settings, {})
    stages: dict[str, dict[str, float]] = {"loop": {}, "bytewax": {}}
    runs = [measured("decoder alone", folder, log.events, lambda: decoder_alone(log))]
    for runner, told in stages.items():
        act = lambda r=runner, t=told: run_flow(r, cast("EventLog", log), settings, t)  # noqa: E731
        runs.append(measured(f"flow, {runner}", folder, log.events, act))
        runs.append(measured("decoder alone", folder, log.events, lambda: decoder_alone(log)))
    peer = lambda: run_peer(peer_log, rules, folder / "peer", WINDOW_S)  # noqa: E731
    runs.append(measured("dict an event, bytewax window", folder, peer_log.events, peer))
    show(runs, stages)
    return runs


def show(runs: list[Run], stages: dict[str, dict[str, float]]) -> None:
    """Print the runs, the ratios that the bars name, and where the flow's time went."""
    print(f"{'run':32}{'events':>10}{'CPU s':>9}{'events/CPU-s':>14}{'server s':>10}{'RSS MB':>8}")
    for r in runs:
        print(
            f"{r.name:32}{r.events:>10}{r.cpu_s:>9.1f}{r.rate:>14.0f}"
            f"{r.server_cpu_s:>10.1f}{r.rss_mb:>8.0f}"
        )
    decoder = sum(r.rate for r in runs if r.name.startswith("decoder")) / 3
    rate = {r.name: r.rate for r in runs}
    loop_, wax, peer = rate["flow, loop"], rate["flow, bytewax"], rate[runs[-1].name]
    print(f"flow / decoder alone: loop {loop_ / decoder:.2f}, bytewax {wax / decoder:.2f} (>= 0.5)")
    print(f"bytewax / loop, CPU an event: {loop_ / wax:.2f} (<= 1.10)")
    print(f"flow / dict an event: {wax / peer:.1f} x (>= 5)")
    events = runs[1].events
    for runner, told in stages.items():
        parts = ", ".join(f"{k} {v / events * 1e6:.1f}" for k, v in told.items())
        print(f"{runner}, CPU microseconds an event: {parts}")


def main() -> None:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=200_000)
    words.add_argument("--peer-events", type=int, default=20_000)
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-bench-"))
    try:
        compare(given.events, given.peer_events, folder)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
