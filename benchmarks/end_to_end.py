"""Measure the house from JSON on Kafka to rows in TimescaleDB, Parquet and findings.

Run: `make services`, then `.venv/bin/python -m benchmarks.end_to_end [--events N] [--lines N]`.
ECS lines of 200 agents (about 600 bytes each, from recorded events) in messages of `--lines`, on
8 partitions; then the product's own `inopsio run pipelines`: all of the house's rules and 50
Windows rules of Sigma, all detectors, both flows. Events per CPU-second of that process (its start
and its first fifth of the events not counted), RSS, the CPU of the database beside it; once more
with those 50 rules and no other detector; the same
lines through the parser alone as the raw limit; then the flow once more in this process, to say
where the time goes: of all its threads, as the frame library works in one of its own.
"""

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import shutil  # noqa: E402  after the thread count is set
import tempfile  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
from pathlib import Path  # noqa: E402  after the thread count is set

from benchmarks import _ecs, _on_services  # noqa: E402  after the thread count is set
from benchmarks._on_services import Site  # noqa: E402  after the thread count is set
from benchmarks._stages import Stages, shown  # noqa: E402  after the thread count is set
from benchmarks.otrf import rule_folder  # noqa: E402  after the thread count is set
from pipelines.flow import flow_of, runner_named  # noqa: E402  after the thread count is set
from pipelines.parsing import parser_named  # noqa: E402  after the thread count is set
from storage.database import Database  # noqa: E402  after the thread count is set
from storage.lake import Lake  # noqa: E402  after the thread count is set
from storage.log.open import open_log  # noqa: E402  after the thread count is set

RULES = 50
IDLE_S = 10.0
WORDS = {
    "deploy": "product, run pipelines",
    "benchmarks._fifty": "the same, only the 50 rules",
}
WARM = 0.2
"""Share of the events that is not counted: the process starts, caches fill."""


def parser_alone(lines: list[bytes]) -> float:
    """Give events per CPU-second of the format's parser on large blocks, and nothing else."""
    values = [record.value for record in _ecs.records(lines, 40_000, 1000, time.time_ns() // 1000)]
    start = time.process_time()
    rows = 0
    for found in parser_named("ecs_json").parse(values):
        rows += found.frame.height
    return rows / (time.process_time() - start)


def product(site: Site, total: int, per_message: int, program: str = "deploy") -> None:
    """Run the product's process over what lies on the log; print what it used."""
    ends = site.ends()
    whole = sum(ends.values())
    with site.pipelines(program=program) as (process, cpu_s):
        site.wait(lambda: site.read() >= whole * WARM, process)
        at, used, server, began = site.read(), cpu_s(), site.server_cpu_s(), time.monotonic()
        site.wait(lambda: site.read() >= whole, process)
        cpu, server = cpu_s() - used, site.server_cpu_s() - server
        wall, rss = time.monotonic() - began, process.memory_info().rss / 2**20
        idle, began_idle = cpu_s(), time.monotonic()
        time.sleep(IDLE_S)
        idle_share = (cpu_s() - idle) / (time.monotonic() - began_idle)
    done = (whole - at) * per_message
    print(
        f"{WORDS[program]:32}{done:>9}{cpu:>9.2f}{done / cpu:>14.0f}{used:>10.1f}"
        f"{server:>10.1f}{wall:>8.1f}{rss:>8.0f}"
    )
    print(f"CPU of one core while nothing comes: {idle_share:.1%}")
    print(
        f"rows in the ledger: {site.count('events')} of {total}; findings {site.count('findings')}"
    )


def stages(site: Site, events: int) -> None:
    """Run the flow in this process on the loop; print the CPU of each stage."""
    database, log = Database.open(site.settings), open_log(site.settings)
    try:
        with Stages() as told:
            flow = flow_of(site.settings, database, log, Lake(site.settings.data_dir / "lake"))
            runner_named("loop").run(flow, once=True)
    finally:
        log.close()
        database.close()
    print(shown(told.spent, events))


def main() -> None:
    """Run as a script."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--events", type=int, default=200_000)
    words.add_argument("--lines", type=int, default=250)
    words.add_argument("--no-stages", action="store_true")
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-bench-"))
    lines = _ecs.templates()
    size = sum(map(len, lines)) / len(lines)
    print(f"{len(lines)} templates of {size:.0f} bytes; messages of {given.lines} lines")
    print(f"{'parser alone, events/CPU-s':32}{parser_alone(lines):>32.0f}")
    head = ("events", "CPU s", "events/CPU-s", "start s", "server s", "wall s", "RSS MB")
    widths = (9, 9, 14, 10, 10, 8, 8)
    print(f"{'':32}" + "".join(f"{h:>{w}}" for h, w in zip(head, widths, strict=True)))
    try:
        rules = rule_folder(folder / "rules", RULES)
        begin_us = time.time_ns() // 1000 - given.events * 1_000_000 // _ecs.A_SECOND
        for part in (*WORDS, *(() if given.no_stages else ("stages",))):
            with _on_services.site(folder / part, rules) as site:
                site.fill(_ecs.records(lines, given.events, given.lines, begin_us))
                if part in WORDS:
                    product(site, given.events, given.lines, part)
                else:
                    stages(site, given.events)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
