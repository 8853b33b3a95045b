"""Judge the ensemble on NSL-KDD: fitted on the normal rows of the train file, then learning on.

    python -m benchmarks.nslkdd [FLOWS_DIR]

The labels of the test file judge and are never read by the models. What was chosen (measures, the
least spread of 0.2, the gate at 0.1, 50 trees, 128 directions and their width) was chosen on the
train file: fitted on a part of its normal rows, judged on the rest and its attacks. Several draws
of what calibrates are run, for one draw is luck. The peer is river's half-space trees, fitted on
the same rows and learning from every row that it scores, as its documentation does.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse  # noqa: E402  after the thread count is set
import resource  # noqa: E402  after the thread count is set
import time  # noqa: E402  after the thread count is set
from collections.abc import Iterator  # noqa: E402  after the thread count is set
from pathlib import Path  # noqa: E402  after the thread count is set
from typing import Any, Final  # noqa: E402  after the thread count is set

import numpy as np  # noqa: E402  after the thread count is set
import numpy.typing as npt  # noqa: E402  after the thread count is set
import polars as pl  # noqa: E402  after the thread count is set
from river.anomaly import HalfSpaceTrees  # noqa: E402  after the thread count is set

from benchmarks._measures import roc_auc  # noqa: E402  after the thread count is set
from detectors._models.ensemble import Ensemble  # noqa: E402  after the thread count is set

FLOWS: Final = Path(os.environ.get("INOPSIO_SHARED", "../shared")) / "data" / "flows"
DRAWS: Final = 5
BATCH: Final = 500
_NOT_FEATURES: Final = frozenset({"attack", "difficulty", "anomaly"})
_CHOICES: Final = ("protocol_type", "flag")
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def features(frame: pl.DataFrame, known: pl.DataFrame) -> Floats:
    """Give rows as numbers: logs of counts, rates as they are, one column a choice, rarity of the
    service. What choices and services there are is taken from `known`.
    """
    told = []
    for name, dtype in known.schema.items():
        if name in _NOT_FEATURES or not dtype.is_numeric():
            continue
        value = frame[name].cast(pl.Float64).to_numpy()
        is_rate = float(known[name].cast(pl.Float64).max()) <= 1.0  # type: ignore[arg-type]
        told.append(value if is_rate else np.log1p(value))
    for name in _CHOICES:
        told += [(frame[name] == c).to_numpy().astype(float) for c in sorted(set(known[name]))]
    counts = dict(known["service"].value_counts().iter_rows())
    rarity = [-np.log((counts.get(s, 0) + 1) / (len(known) + 1)) for s in frame["service"]]
    return np.stack([*told, np.array(rarity)], axis=1)


def stream(model: Ensemble, rows: Floats, *, is_learning: bool) -> Iterator[tuple[Floats, Floats]]:
    """Give (score, p) batch by batch."""
    for begin in range(0, len(rows), BATCH):
        batch = rows[begin : begin + BATCH]
        told = model.score_and_learn(batch) if is_learning else model.score(batch)
        yield told.score, told.p


def judged(
    calm: Floats, rows: Floats, is_bad: Bools, seed: int, *, is_learning: bool
) -> list[float]:
    """Give AUC, recall and realised rate at 5 % and 1 % asked, rows a CPU-second."""
    model = Ensemble.fitted(calm, seed=seed)
    began = time.process_time()
    told = list(stream(model, rows, is_learning=is_learning))
    spent = time.process_time() - began
    score, p = (np.concatenate(part) for part in zip(*told, strict=True))
    rates = [float((p[w] <= asked).mean()) for asked in (0.05, 0.01) for w in (is_bad, ~is_bad)]
    return [roc_auc(score, is_bad), *rates, len(rows) / spent]


def peer(calm: Floats, rows: Floats, is_bad: Bools) -> list[float]:
    """Give river's AUC and rows a CPU-second."""
    low, high = calm.min(axis=0), calm.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    model = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)
    for row in np.clip((calm - low) / width, 0.0, 1.0):
        model.learn_one(dict(enumerate(row.tolist())))
    began = time.process_time()
    scores = []
    for row in np.clip((rows - low) / width, 0.0, 1.0):
        told: dict[Any, Any] = dict(enumerate(row.tolist()))
        scores.append(model.score_one(told))
        model.learn_one(told)
    return [roc_auc(np.array(scores), is_bad), len(rows) / (time.process_time() - began)]


def main() -> None:
    """Print both ways of learning, each draw and their mean, and the peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flows", nargs="?", type=Path, default=FLOWS)
    folder = parser.parse_args().flows
    train = pl.read_parquet(folder / "nslkdd_train20.parquet")
    test = pl.read_parquet(folder / "nslkdd_test.parquet")
    normal = train.filter(~pl.col("anomaly"))
    calm, rows = features(normal, normal), features(test, normal)
    is_bad = test["anomaly"].to_numpy()
    print(f"{len(calm):,} normal rows fitted, {len(rows):,} judged, {calm.shape[1]} features")
    print("\n          draw  AUC    recall@5%  rate@5%  recall@1%  rate@1%  rows/CPU-s")
    for words, is_learning in (("learning", True), ("frozen", False)):
        seeds = range(1, DRAWS + 1)
        draws = [judged(calm, rows, is_bad, s, is_learning=is_learning) for s in seeds]
        for name, one in [*enumerate(draws, 1), ("mean", np.mean(draws, axis=0))]:
            auc, hit5, false5, hit1, false1, rate = one
            said = f"{auc:.4f} {hit5:9.3f} {false5:9.2%} {hit1:9.3f} {false1:9.2%} {rate:11,.0f}"
            print(f"{words:9} {name:>4}  {said}")
    auc, rate = peer(calm, rows, is_bad)
    print(
        f"\nriver half-space trees, learning from every row: AUC {auc:.4f}, {rate:,.0f} rows/CPU-s"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
