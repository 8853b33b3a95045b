"""Measure rules on columns against two peers in the same run: pySigma's SQLite, a naive matcher.

Run: `python -m benchmarks.sigma` (needs the shared data; see tests/shared.py). CPU seconds of this
process on one thread. E: the public EVTX set; P: 50,000 process starts made from the real ones.
The SQLite peer gets each rule's query from pySigma's backend and runs it on an in-memory table of
the same events; the naive matcher is the tests' oracle. Both on samples: their cost is per event.
"""

import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before polars starts its threads: the figure is per core.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
from sigma.pipelines.windows.windows import windows_logsource_pipeline
from sigma.rule import SigmaRule

from benchmarks._sigma_sets import multiplied, process_starts, read_events
from detectors.sigma import CompiledRule, RuleSet, compile_rules
from tests.detectors.oracle import holds, trees
from tests.shared import shared_root

DATA = shared_root() / "data"
FOLDERS = [DATA / "sigma" / f for f in ("rules", "rules-emerging-threats", "rules-threat-hunting")]
SAMPLE = 200
SQL_SAMPLE = 300
ROUNDS = 3


def columns_rate(rules: RuleSet, events: pl.DataFrame, rows: int) -> tuple[float, int]:
    """Give events per CPU-second in batches of `rows`, the best of three rounds, and the pairs."""
    pairs, best = 0, float("inf")
    for _ in range(ROUNDS + 1):  # the first builds automata
        began = time.process_time()
        pairs = sum(rules.match(piece).height for piece in events.iter_slices(rows))
        best = min(best, time.process_time() - began)
    return events.height / best, pairs


def naive_rate(rules: RuleSet, sample: pl.DataFrame) -> tuple[float, int]:
    """Give the oracle's events per CPU-second on the sample, and the pairs it found."""
    pipeline = sysmon_pipeline() + windows_logsource_pipeline()
    parsed = []
    for rule in rules.rules:
        one = SigmaRule.from_yaml(Path(rule.file).read_text())
        pipeline.apply(one)
        parsed.append(trees(one))
    events = _own_words(sample).rows(named=True)
    began = time.process_time()
    pairs = sum(holds(tree, event) for event in events for tree in parsed)
    return len(events) / (time.process_time() - began), pairs


def sqlite_rate(rules: list[CompiledRule], sample: pl.DataFrame) -> tuple[float, int, int]:
    """Give SQLite's events per CPU-second on the sample, the pairs, and the rules it can run."""
    pipeline = sysmon_pipeline() + windows_logsource_pipeline()
    backend = sqliteBackend(pipeline)  # type: ignore[no-untyped-call]  # not typed there
    queries: list[str] = []
    for rule in rules:
        try:
            queries += backend.convert(SigmaCollection.from_yaml(Path(rule.file).read_text()))
        except (SigmaError, NotImplementedError):
            continue
    events = _own_words(sample)
    named = {a.field for r in rules for a in r.atoms if a.field}
    names = list({n.lower(): n for n in (*named, *events.columns)}.values())
    table = sqlite3.connect(":memory:")
    table.create_function("regexp", 2, lambda p, v: v is not None and bool(re.search(p, str(v))))
    quoted = ", ".join(f'"{n}" TEXT COLLATE NOCASE' for n in names)
    table.execute(f"CREATE TABLE logs ({quoted})")
    rows = [tuple(row.get(n) for n in names) for row in events.rows(named=True)]
    table.executemany(f"INSERT INTO logs VALUES ({', '.join('?' * len(names))})", rows)
    pairs = ran = 0
    began = time.process_time()
    for query in queries:
        try:
            pairs += len(table.execute(query).fetchall())
            ran += 1
        except sqlite3.Error:
            continue
    return sample.height / (time.process_time() - began), pairs, ran


def _own_words(events: pl.DataFrame) -> pl.DataFrame:
    own = [c for c in events.columns if c.startswith("unmapped.")]
    return events.select(own).rename({c: c.removeprefix("unmapped.") for c in own})


_HOLDER = """
import sys
from pathlib import Path
import polars as pl
from detectors.sigma import compile_rules
cache, made, *folders = sys.argv[1:]
rules = compile_rules([Path(f) for f in folders], cache=Path(cache))
def most():
    # What rusage says is inherited from the process that started this one.
    line = next(s for s in open("/proc/self/status") if s.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
held = most()
batch = pl.read_ipc(made)
for _ in range(3):
    rules.match(batch)
print(held, most())
"""


def memory_mb(batch: pl.DataFrame, cache: Path) -> tuple[float, float]:
    """Give the most memory of a process with all rules: before, and after matching the batch."""
    made = cache.with_name("batch.arrow")
    batch.write_ipc(made)
    asked = [sys.executable, "-c", _HOLDER, str(cache), str(made), *map(str, FOLDERS)]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    held, most = map(float, told.split())
    return held, most


def load(cache: Path) -> RuleSet:
    """Compile all rules, say what that and a reload from the cache cost, give the Windows ones."""
    costs: list[float] = []
    for _ in range(4):
        began = time.process_time()
        whole = compile_rules(FOLDERS, cache=cache)
        costs.append(time.process_time() - began)
    idle = sum(not r.executable for r in whole.reports)
    rules = RuleSet([r for r in whole.rules if r.product == "windows"])
    print(f"rules: {len(whole)} can run, {idle} cannot; {len(rules)} of them for Windows")
    print(f"compiled in {costs[0]:.1f} cpu-s; from the cache {min(costs[1:]):.2f} cpu-s")
    return rules


def main() -> None:
    """Print the figures."""
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cpus")
    with tempfile.TemporaryDirectory() as home:
        cache = Path(home) / "rules.json"
        rules = load(cache)
        events = read_events(DATA / "evtx")
        recorded = [process_starts(events), process_starts(read_events(DATA / "otrf", ".zip"))]
        starts = multiplied(pl.concat(recorded, how="diagonal"), 50_000)
        for rows in (8_192, len(starts)):
            held, most = memory_mb(starts[:rows], cache)
            print(f"memory: {held:,.0f} MB with all rules, {most:,.0f} after {rows} of P")
    for rows in (len(starts), 5_000, 1_000, 100, 10, 1):
        rate, pairs = columns_rate(rules, starts[: rows * 20], rows)
        print(f"P, batches of {rows}: {rate:,.0f} events per cpu-s, {pairs} pairs")
    best = 0.0
    for rows in (len(events), 8_192, 1_000):
        rate, pairs = columns_rate(rules, events, rows)
        best = max(best, rate)
        print(f"E, {events.height} events, batches of {rows}: {rate:,.0f} per cpu-s, {pairs} pairs")
    own = [r for r in rules.rules if r.category == "process_creation"]
    sample = starts[:SQL_SAMPLE]
    sql, pairs, ran = sqlite_rate(own, sample)
    ours, _ = columns_rate(RuleSet(own), starts, len(starts))
    same = RuleSet(own).match(sample).height
    print(f"SQLite, {SQL_SAMPLE} of P, {ran} of {len(own)} rules: {sql:,.0f} events per cpu-s,")
    print(f"  {pairs} pairs (columns: {same})")
    print(f"columns, P whole, these rules: {ours:,.0f}; {ours / sql:,.0f} times SQLite")
    mixed = events.sample(SAMPLE, seed=1)
    rate, pairs = naive_rate(rules, mixed)
    same = rules.match(mixed).filter(~pl.col("stands_in")).height
    print(f"naive, {SAMPLE} of E: {rate:,.0f} events per cpu-s, {pairs} pairs (columns: {same})")
    print(f"ratio: {best / rate:,.0f}")


if __name__ == "__main__":
    main()
