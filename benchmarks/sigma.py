"""Measure rules on columns against a naive matcher, an event at a time, in the same run.

Run: `python -m benchmarks.sigma` (needs the shared data; see tests/shared.py). CPU seconds of this
process, all Windows rules, the public EVTX set. The naive matcher is the tests' oracle: every rule
on every event, where a rule of another channel ends at its first condition; on a sample.
"""

import os
import platform
import time
from pathlib import Path

# Before polars starts its threads: the figure is per core.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
from sigma.pipelines.windows.windows import windows_logsource_pipeline
from sigma.rule import SigmaRule

from detectors.sigma import RuleSet, compile_rules
from pipelines.parsing import parse_stream
from pipelines.sources.files import walk
from tests.detectors.oracle import holds, trees
from tests.shared import shared_root

DATA = shared_root() / "data"
SAMPLE = 200
ROUNDS = 5


def read_events(folder: Path) -> pl.DataFrame:
    """Read every event of the folder into one frame."""
    frames: list[pl.DataFrame] = []
    for item in walk([folder]):
        if item.reason is None and item.file.endswith(".evtx"):
            log_format, chunks = item.detected()
            parsed = parse_stream(
                log_format,
                chunks,
                tenant_id="t",
                source=item.file,
                ingested_at_us=1_700_000_000_000_000,
            )
            frames += [batch.frame for batch, _ in parsed]
    return pl.concat(frames, how="diagonal")


def columns_rate(rules: RuleSet, events: pl.DataFrame, rows: int) -> tuple[float, int]:
    """Give events per CPU-second in batches of `rows`, and the pairs found."""
    pairs = 0
    began = time.process_time()
    for _ in range(ROUNDS):
        pairs = sum(rules.match(piece).height for piece in events.iter_slices(rows))
    return events.height * ROUNDS / (time.process_time() - began), pairs


def naive_rate(rules: RuleSet, sample: pl.DataFrame) -> tuple[float, int]:
    """Give the oracle's events per CPU-second on the sample, and the pairs it found."""
    pipeline = sysmon_pipeline() + windows_logsource_pipeline()
    parsed = []
    for rule in rules.rules:
        one = SigmaRule.from_yaml(Path(rule.file).read_text())
        pipeline.apply(one)
        parsed.append(trees(one))
    own = [c for c in sample.columns if c.startswith("unmapped.")]
    short = {c: c.removeprefix("unmapped.") for c in own}
    events = sample.select(own).rename(short).rows(named=True)
    began = time.process_time()
    pairs = sum(holds(tree, event) for event in events for tree in parsed)
    return len(events) / (time.process_time() - began), pairs


def main() -> None:
    """Print the figures as one table."""
    began = time.process_time()
    whole = compile_rules(
        [DATA / "sigma" / f for f in ("rules", "rules-emerging-threats", "rules-threat-hunting")]
    )
    compile_s = time.process_time() - began
    rules = RuleSet([r for r in whole.rules if r.product == "windows"])
    events = read_events(DATA / "evtx")
    rules.match(events)  # builds the automata
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cpus")
    print(
        f"rules: {len(rules)} Windows rules; {len(whole)} rules compiled in {compile_s:.1f} cpu-s"
    )
    print(f"events: {events.height} in {events.width} columns")
    best = 0.0
    for rows in (1_000, 8_192):
        rate, pairs = columns_rate(rules, events, rows)
        best = max(best, rate)
        print(f"columns, batches of {rows}: {rate:,.0f} events per cpu-s, {pairs} pairs")
    sample = events.sample(SAMPLE, seed=1)
    rate, pairs = naive_rate(rules, sample)
    same = rules.match(sample).filter(~pl.col("stands_in")).height
    print(f"naive, {SAMPLE} events: {rate:,.0f} events per cpu-s, {pairs} pairs (columns: {same})")
    print(f"ratio: {best / rate:,.0f}")


if __name__ == "__main__":
    main()
