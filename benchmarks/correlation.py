"""Measure matched rows a CPU-second into the state of correlations, columns against the fold.

Run: `python -m benchmarks.correlation [ROWS]`. Claims as the rule engine makes them: a day's logons
of 2,000 people from 3,000 addresses to 500 hosts, skewed as in a real house, with one guessing and
one spraying attack an hour. A matched row is one claim under one group of one correlation.
The peer is the same detector in batches so small that it folds them claim by claim. Of several
runs, which all do the same, the least CPU time of each batch counts, as what a busy host adds is
not ours; the best whole run stands beside. "From messages" adds reading the claims as they travel
on topic `signals`.
"""

import cProfile
import gc
import os
import pstats
import random
import resource
import sys
import time
from collections.abc import Sequence

# Before polars starts its threads: the figure is per core.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

from detectors import correlation, sigma
from detectors._correlation import columns
from pipelines import signals
from pipelines.signals import frame_of
from storage.log import Message
from storage.outcome import finding_message
from storage.schema import Context, EventBatch, Finding, Reason, State

BASES = ("logon_failed", "logon_done", "share_read")
STEP = """title: {name}
id: 0000000{n}-0000-4000-8000-000000000000
name: {name}
logsource: {{product: inopsio, category: authentication}}
detection: {{s: {{activity_id: {n}}}, condition: s}}
level: low
"""
WHO = "group-by: user, timespan: 10m, condition: {gte: 20}"
FROM = "group-by: src_endpoint.ip, timespan: 10m, condition: {gte: 15, field: user}"
STEPS = "[logon_failed, logon_done, share_read], group-by: [user, host], timespan: 5m"
STORIES = (
    f"{{type: event_count, rules: logon_failed, {WHO}}}",
    f"{{type: value_count, rules: logon_failed, {FROM}}}",
    f"{{type: temporal_ordered, rules: {STEPS}}}",
)
START_US = 1_780_000_000_000_000
DAY_US = 86_400_000_000


def compiled(stories: Sequence[str] = STORIES) -> sigma.RuleSet:
    """Compile the base rules and the correlations."""
    texts = [STEP.format(name=name, n=n) for n, name in enumerate(BASES, 1)]
    head = (
        "title: Story {n}\nid: f000000{n}-0000-4000-8000-000000000000\nlevel: high\ncorrelation: "
    )
    texts += [head.format(n=n) + inside + "\n" for n, inside in enumerate(stories)]
    return sigma.compile_texts({"rules.yml": "---\n".join(texts).encode()})


def a_day(size: int, seed: int = 7) -> list[Finding]:
    """Make the claims of a day, in order of time."""
    rng = random.Random(seed)
    made = []
    for n in range(size):
        at_us = DAY_US * n // size
        user, host, ip = (int(most * rng.random() ** 2) for most in (2000, 500, 3000))
        base = rng.choices((1, 2, 3), (60, 25, 15))[0]
        attack = at_us // 60_000_000 % 60
        if attack < 4 and rng.random() < 0.5:
            base = 1
            user, ip = (7, 9) if attack < 2 else (rng.randrange(2000), 11)
        made.append(_claim(n, base, START_US + at_us, f"user{user}", f"ws-{host}", ip))
    return made


def _claim(number: int, base: int, at_us: int, user: str, host: str, ip: int) -> Finding:
    address = f"10.{ip // 250}.3.{ip % 250 + 1}"
    event = f"{number:032x}"
    return Finding(
        finding_id=f"{event[:8]}-{event[8:12]}-{event[12:16]}-{event[16:20]}-{event[20:]}",
        tenant_id="acme",
        detector="sigma",
        detector_version="2.0123456789abcdef",
        rule_id=f"0000000{base}-0000-4000-8000-000000000000",
        title=BASES[base - 1],
        level="low",
        time_us=at_us,
        entity_type="host",
        entity=f"{host}.corp.example",
        event_ids=(event,),
        reasons=(Reason("activity_id", str(base), f"is {base}"),),
        links=(("user", f"CORP\\{user}"), ("ip", address), ("process", "C:\\Windows\\lsass.exe")),
        kind="signal",
        fields=(("src_endpoint.ip", address),),
    )


def run(
    rules: sigma.RuleSet, batches: Sequence[EventBatch]
) -> tuple[list[float], State, list[Finding]]:
    """Give the CPU seconds of each batch, the state after them and what was found."""
    state: State = correlation.META.empty_state()
    found: list[Finding] = []
    context = Context(0, {"": rules})
    # As `pipelines.flow` does: what is loaded by now need not be walked again.
    gc.collect()
    gc.freeze()
    spent_s = []
    for batch in batches:
        began = time.process_time()
        state, new = correlation.detect(state, batch, context)
        spent_s.append(time.process_time() - began)
        found += new
    return spent_s, state, found


def best(
    rules: sigma.RuleSet, batches: Sequence[EventBatch], runs: int = 5
) -> tuple[float, float, State, list[Finding]]:
    """Give the CPU seconds of every batch's best run, and of the best run; and what came out."""
    every = [run(rules, batches) for _ in range(runs)]
    least = sum(min(one) for one in zip(*(spent_s for spent_s, _, _ in every), strict=True))
    return least, min(sum(spent_s) for spent_s, _, _ in every), *every[0][1:]


def cut(claims: Sequence[Finding], rows: int) -> list[EventBatch]:
    """Cut claims into batches."""
    whole = frame_of(claims, 0)
    return [EventBatch.of(piece) for piece in whole.iter_slices(rows)]


def main() -> None:
    """Print the figures, and where the time goes."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rules, claims = compiled(), a_day(size)
    few = min(size, 8_000)
    spent, whole, state, found = best(rules, cut(claims[:few], columns.FROM_ROWS - 1), 2)
    print(f"claim by claim, {few} claims: {rate(state, spent)}, {len(found)} found")
    batches: list[EventBatch] = []
    for rows, runs in ((1_000, 2), (8_192, 5)):
        batches = cut(claims, rows)
        spent, whole, state, found = best(rules, batches, runs)
        told = f"{size / spent:,.0f} claims/CPU-s, {len(found)} found, {state['held'].height} held"
        print(f"columns, {size} claims in batches of {rows}: {rate(state, spent)}, {told}")
        print(f"  the best whole run: {rate(state, whole)}")
    read_s = reading(claims)
    told = f"reading {size / read_s:,.0f} claims/CPU-s"
    print(f"from messages, in batches of 8192: {rate(state, spent + read_s)}, {told}")
    for story in STORIES:
        spent, _, state, found = best(compiled([story]), batches, 2)
        print(f"  alone, {story.split(',')[0][1:]}: {rate(state, spent)}, {len(found)} found")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB")
    profile = cProfile.Profile()
    profile.runcall(run, rules, batches)
    pstats.Stats(profile).sort_stats("cumtime").print_stats("detectors|join|sort|decode", 24)


def reading(claims: Sequence[Finding]) -> float:
    """Give the CPU seconds that it takes to read the claims from their messages."""
    headers = {"tenant": "acme", "trace": ""}
    told = [(c.finding_id.encode(), finding_message(c), headers, START_US) for c in claims]
    sent = [signals.addressed(Message(signals.TOPIC, 0, n, *one)) for n, one in enumerate(told)]
    spent_s = 0.0
    for begin in range(0, len(sent), 8_192):
        spent_s += min(_parsed_s(sent[begin : begin + 8_192]) for _ in range(3))
    return spent_s


def _parsed_s(run_: Sequence[Message]) -> float:
    began = time.process_time()
    for _ in signals.parse_signals(run_):
        pass
    return time.process_time() - began


def rate(state: State, spent_s: float) -> str:
    """Say how many rows a CPU-second went into the state, those that had to go counted."""
    rows = state["held"].height + int(state["evicted"]["claims"].sum())
    return f"{rows / spent_s:,.0f} rows/CPU-s"


if __name__ == "__main__":
    main()
