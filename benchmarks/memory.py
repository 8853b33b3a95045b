"""Measure whether the flow's memory stays flat however long it runs.

    .venv/bin/python -m benchmarks.memory [--events 10000000] [--runner loop]

The same events as `benchmarks.throughput`, a day later in each pass; prints events done and RSS as
it goes, and at the end the growth after the first fifth. Exits 1 if that is over 10 %.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import cast

import psutil

from benchmarks.otrf import TENANTS, RepeatedLog, base_lines, rule_folder
from pipelines.flow import flow_of, runner_named
from pipelines.running import Done
from storage import telemetry
from storage.database import Database, embedded
from storage.lake import Lake
from storage.log import EventLog
from storage.settings import Settings

MOST_GROWTH = 0.10


def measure(events: int, runner: str, longest: int, folder: Path) -> float:
    """Run the flow; give by how much RSS grew from the first fifth's peak to the rest's."""
    log = RepeatedLog([x for x in base_lines(8) if len(x) <= longest], events)
    rules = rule_folder(folder / "rules", 50)
    settings = Settings(data_dir=folder, rules_dirs=str(rules))
    database = Database.open(settings)
    for tenant in TENANTS:
        database.create_tenant(tenant)
    flow = flow_of(
        settings, database, cast("EventLog", log), Lake(folder / "lake"), poll_bytes=8 << 20
    )
    seen: list[tuple[int, float]] = []
    commit = flow.commit
    process = psutil.Process()

    def watched(done: Done) -> None:
        commit(done)
        events_done = int(telemetry.values()["inopsio_events_read_total"])
        seen.append((events_done, process.memory_info().rss / 2**20))
        if len(seen) % 25 == 0:
            print(f"{events_done:>10} events  RSS {seen[-1][1]:>6.0f} MB", flush=True)
            shutil.rmtree(folder / "lake", ignore_errors=True)  # only memory is measured

    flow.commit = watched  # type: ignore[method-assign]  # a benchmark's own look
    runner_named(runner).run(flow, once=True)
    database.close()
    early = max(rss for n, rss in seen if n <= log.events / 5)
    late = max(rss for n, rss in seen if n > log.events / 5)
    print(
        f"{seen[-1][0]} events: RSS peak {early:.0f} MB in the first fifth, {late:.0f} MB after it"
    )
    return late / early - 1


def main() -> None:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=10_000_000)
    words.add_argument("--runner", default="loop")
    words.add_argument("--longest", type=int, default=1 << 20, help="leave longer lines out, bytes")
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-memory-"))
    try:
        growth = measure(given.events, given.runner, given.longest, folder)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"growth {growth:+.1%} (at most {MOST_GROWTH:.0%})")
    sys.exit(growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
