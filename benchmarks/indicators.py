"""Match events against many indicators by joins, beside a set that is asked value by value.

    python -m benchmarks.indicators [--indicators 100000] [--events 81920]

Made-up flows and DNS questions, a thousandth of which name an indicator; batches of 8,192 rows.
The peer looks the addresses and the ends of the names up in Python sets, row by row, knows no
networks and claims nothing.
"""

import argparse
import resource
import time
from typing import Final

import numpy as np
import polars as pl

from detectors import indicators
from storage.indicators import FRAME
from storage.schema import MAX_BATCH_ROWS, Context, EventBatch
from storage.schema.indicator import Known

_SEED: Final = 7
_LEAST_HITS: Final = 1


def feed(count: int) -> pl.DataFrame:
    """Give so many indicators: addresses and domains by halves, and a hundred networks."""
    half = count // 2
    numbers = np.arange(half)
    rows = [("ipv4", f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}") for n in numbers.tolist()]
    rows += [("domain", f"bad{n}.example") for n in range(half)]
    rows += [("cidr", f"12.{n}.0.0/16") for n in range(100)]
    return pl.DataFrame(
        [(kind, value, "feed", 0, None, 80) for kind, value in rows], schema=FRAME, orient="row"
    )


def events(count: int, known: int) -> pl.DataFrame:
    """Give flows and questions in turn; about one in a thousand names an indicator."""
    dice = np.random.default_rng(_SEED)
    is_bad = dice.random(count) < 0.001
    number = dice.integers(0, known // 2, count)
    octet = dice.integers(1, 250, (count, 2))
    ips = [
        f"11.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" if bad else f"93.184.{a}.{b}"
        for n, bad, (a, b) in zip(number.tolist(), is_bad.tolist(), octet.tolist(), strict=True)
    ]
    names = [
        f"www.bad{n}.example" if bad else f"host{a}.cdn{b}.example.org"
        for n, bad, (a, b) in zip(number.tolist(), is_bad.tolist(), octet.tolist(), strict=True)
    ]
    return pl.DataFrame(
        {
            "tenant_id": ["acme"] * count,
            "event_id": [f"{n:012d}" for n in range(count)],
            "class_uid": pl.Series([4001, 4003] * (count // 2), dtype=pl.Int32),
            "time": pl.Series(range(count), dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "device.hostname": [f"pc{n % 500}" for n in range(count)],
            "src_endpoint.ip": [f"10.0.{n % 250}.{n % 200}" for n in range(count)],
            "dst_endpoint.ip": ips,
            "query.hostname": names,
        }
    )


def ours(frame: pl.DataFrame, known: pl.DataFrame) -> tuple[int, float]:
    """Give the claims and the events a CPU-second."""
    context = Context(watermark_us=0, indicators={"acme": Known.of(known)})
    state, claims, began = indicators.META.empty_state(), 0, time.process_time()
    for piece in frame.iter_slices(MAX_BATCH_ROWS):
        after, made = indicators.detect(state, EventBatch(piece), context)
        state, claims = dict(after), claims + len(made)
    return claims, frame.height / (time.process_time() - began)


def plain(frame: pl.DataFrame, known: pl.DataFrame) -> tuple[int, float]:
    """Give the events that name one, and the rate, asked value by value."""
    held = set(known["value"])
    hits, began = 0, time.process_time()
    for src, dst, name in frame.select(
        "src_endpoint.ip", "dst_endpoint.ip", "query.hostname"
    ).iter_rows():
        labels = name.split(".")
        ends = [".".join(labels[-n:]) for n in range(2, len(labels) + 1)]
        hits += src in held or dst in held or any(end in held for end in ends)
    return hits, frame.height / (time.process_time() - began)


def main() -> int:
    """Print both rates, hits and memory; 1 if ours met nothing."""
    parser = argparse.ArgumentParser(description="indicators on the stream")
    parser.add_argument("--indicators", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=10 * MAX_BATCH_ROWS)
    given = parser.parse_args()
    known, frame = feed(given.indicators), events(given.events // 2 * 2, given.indicators)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    claims, rate = ours(frame, known)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    hits, slow = plain(frame, known)
    more, ratio = peak - before, rate / slow
    print(f"{known.height:,} indicators, {frame.height:,} events, {MAX_BATCH_ROWS:,} a batch")
    print(f"joined: {rate:,.0f} events/CPU-s, {claims} claims (networks too); {more:.0f} MB more")
    print(f"sets, value by value: {slow:,.0f} events/CPU-s, {hits} hits; ours is {ratio:.2f} x")
    return 0 if claims >= _LEAST_HITS else 1


if __name__ == "__main__":
    raise SystemExit(main())
