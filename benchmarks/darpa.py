"""Judge bursts on the DARPA-98 edges: is the flood seen, which other attacks are, how fast.

    python -m benchmarks.darpa [FLOWS_DIR]

Edges are scored when their minute has ended, in slices of whole minutes. The fade was chosen on
the first 30 % of the stream. Peers in the same run: how many edges the destination got in the
minute (one line of numpy), and the same question asked edge by edge in plain Python.
"""

import argparse
import os
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks._measures import roc_auc
from detectors._models.edges import Bursts

FLOWS: Final = Path(os.environ.get("INOPSIO_SHARED", "../shared")) / "data" / "flows"
SLICE: Final = 65_536
ASKED: Final = 0.05
CHOSEN_ON: Final = 0.3
PEER_EDGES: Final = 300_000
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def slices(ticks: Ints, least: int) -> Iterator[slice]:
    """Give slices of whole ticks, each of at least `least` edges where there are so many."""
    ends = np.append(np.flatnonzero(np.diff(ticks)) + 1, len(ticks))
    begin = 0
    while begin < len(ticks):
        end = int(ends[min(int(np.searchsorted(ends, begin + least)), len(ends) - 1)])
        yield slice(begin, end)
        begin = end


def ours(sources: Ints, destinations: Ints, ticks: Ints, size: int) -> tuple[Floats, float]:
    """Give the scores and the edges a CPU-second."""
    model, began = Bursts(), time.process_time()
    told = [
        model.score_and_learn(sources[s], destinations[s], ticks[s]) for s in slices(ticks, size)
    ]
    return np.concatenate(told), len(ticks) / (time.process_time() - began)


def counter(destinations: Ints, ticks: Ints) -> tuple[Floats, float]:
    """Give the one-line counter's scores and rate: edges to the destination in the minute."""
    began = time.process_time()
    keys = destinations * (int(ticks.max()) + 1) + ticks
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[place].astype(float), len(ticks) / (time.process_time() - began)


def plain(sources: Ints, destinations: Ints, ticks: Ints) -> float:
    """Give the edges a CPU-second of the same question asked edge by edge."""
    began = time.process_time()
    total: Counter[tuple[int, ...]] = Counter()
    now: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for one, other, tick in zip(
        sources.tolist(), destinations.tolist(), ticks.tolist(), strict=True
    ):
        for key in ((one, other), (0, one, 0), (0, 0, other)):
            now[tick][key] += 1
            usual = total[key] / tick
            total[key] += 1
            _ = (now[tick][key] - usual) / (usual + 1.0) ** 0.5
        if len(now) > 1:
            del now[min(now)]
    return len(ticks) / (time.process_time() - began)


def main() -> None:
    """Print areas, recall by attack and rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flows", nargs="?", type=Path, default=FLOWS)
    frame = pl.read_parquet(parser.parse_args().flows / "darpa98_edges.parquet")
    sources, destinations, ticks = (
        frame[name].cast(pl.Int64).to_numpy() for name in ("src", "dst", "tick")
    )
    is_bad, attack = frame["anomaly"].to_numpy(), frame["attack"].cast(pl.String)
    score, rate = ours(sources, destinations, ticks, SLICE)
    _, small = ours(sources, destinations, ticks, 8192)
    count, one_line = counter(destinations, ticks)
    late = np.arange(len(ticks)) >= CHOSEN_ON * len(ticks)
    print(f"{len(ticks):,} edges, {int(ticks.max()):,} minutes, {is_bad.mean():.1%} of attacks")
    print(f"{'':26}AUC     AUC of the last 70 %   edges/CPU-s")
    for name, one, speed in (("bursts", score, rate), ("one-line counter", count, one_line)):
        judged = roc_auc(one[late], is_bad[late])
        print(f"{name:24}{roc_auc(one, is_bad):.4f}  {judged:.4f} {speed:28,.0f}")
    print(f"{'bursts, slices of 8,192':24}{small:44,.0f}")
    n = min(PEER_EDGES, len(ticks))
    slow = plain(sources[:n], destinations[:n], ticks[:n])
    print(f"{'edge by edge, ' + format(n, ','):24}{slow:44,.0f}")
    print(
        f"\nrecall by attack where {ASKED:.0%} of benign edges are told: bursts, one-line counter"
    )
    told = [score, count]
    limits = [float(np.quantile(one[~is_bad], 1.0 - ASKED)) for one in told]
    for name, total in attack.filter(pl.Series(is_bad)).value_counts(sort=True).iter_rows():
        which = (attack == name).to_numpy()
        hit = [float((one[which] > most).mean()) for one, most in zip(told, limits, strict=True)]
        print(f"  {name:14}{total:11,} {hit[0]:8.3f} {hit[1]:8.3f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
