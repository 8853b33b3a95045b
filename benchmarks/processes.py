"""Measure two processes on one topic against one: CPU an event, and that nothing is lost or twice.

Run: `make services`, then `.venv/bin/python -m benchmarks.processes [--events N]`. The stream of
`benchmarks.end_to_end` on 8 partitions of a real Kafka, into a real TimescaleDB; `inopsio run
pipelines --partitions group`, once one process and once two, each with the same lanes. The cost is
that of all processes together, from when every one has begun to work; ratio <= 1.1 is the bar.
Wall-clock speed-up is printed, and means something only where there are free cores for it.
"""

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import contextlib  # noqa: E402  after the thread count is set
import shutil  # noqa: E402  after the thread count is set
import tempfile  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
from pathlib import Path  # noqa: E402  after the thread count is set

from benchmarks import _ecs, _on_services  # noqa: E402  after the thread count is set
from benchmarks._on_services import Site  # noqa: E402  after the thread count is set
from benchmarks.otrf import rule_folder  # noqa: E402  after the thread count is set
from storage.database.commit import lanes_of  # noqa: E402  after the thread count is set


def measured(site: Site, count: int, lines: list[bytes], events: int, per_message: int) -> float:
    """Run `count` processes over the stream; print what they used, give CPU µs an event."""
    begin_us = time.time_ns() // 1000 - events * 1_000_000 // _ecs.A_SECOND
    made = list(_ecs.records(lines, events, per_message, begin_us))
    warm = len(made) // 4
    site.fill(made[:warm])
    with contextlib.ExitStack() as started:
        running = [
            started.enter_context(site.pipelines("--partitions", "group")) for _ in range(count)
        ]
        processes = [process for process, _ in running]
        site.wait(lambda: site.read() >= warm, *processes)
        site.wait(lambda: _owners(site) == count, *processes)
        time.sleep(5)
        used, wall = sum(cpu_s() for _, cpu_s in running), time.monotonic()
        site.fill(made[warm:])
        site.wait(lambda: site.read() >= len(made), *processes)
        cpu_s = sum(cpu() for _, cpu in running) - used
        wall = time.monotonic() - wall
        rss = [process.memory_info().rss / 2**20 for process in processes]
    done = (len(made) - warm) * per_message
    rows = site.count("events")
    print(
        f"{count:>10}{done:>10}{cpu_s:>9.2f}{done / cpu_s:>14.0f}{done / wall:>12.0f}"
        f"{'+'.join(f'{mb:.0f}' for mb in rss):>12}{rows:>10}",
        flush=True,
    )
    if rows != events:
        raise SystemExit(f"{rows} rows of {events} events")
    return cpu_s / done * 1e6


def _owners(site: Site) -> int:
    return len({owner for _, owner in lanes_of(site.database, "events").values()})


def main() -> None:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=400_000)
    words.add_argument("--lines", type=int, default=250)
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-bench-"))
    lines = _ecs.templates()
    head = ("processes", "events", "CPU s", "events/CPU-s", "events/s", "RSS MB", "rows")
    widths = (10, 10, 9, 14, 12, 12, 10)
    print("".join(f"{h:>{w}}" for h, w in zip(head, widths, strict=True)))
    cost = {}
    try:
        rules = rule_folder(folder / "rules", 50)
        for count in (1, 2):
            with _on_services.site(folder / str(count), rules) as site:
                cost[count] = measured(site, count, lines, given.events, given.lines)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"two processes / one, CPU an event: {cost[2] / cost[1]:.2f} (<= 1.10)")


if __name__ == "__main__":
    main()
