"""Judge `inopsio score --alerts` by the rules of the Numenta Anomaly Benchmark.

    python -m benchmarks.nab [NAB_DIR]
    python -m benchmarks.nab --made-up [--seed 0] [--per 2]

The first judges public series: the defaults were chosen on the families in CHOSEN_ON, the others
judge them. The second judges made-up series of fourteen kinds, `--per` of each, drawn from a seed:
the present version was chosen on seed 0 with 6 of each kind, and looked at once with seed 1 and 4.

The command runs as anyone runs it; its alerts are scored as they are, no threshold is searched. The
scorer is written from the published rules: a window counts by the place of its first alert, or as
missed; an alert outside costs up to the false-positive weight, less just behind a window; the first
15 % of a file (750 rows at most) count nothing. 100 is an alert at each window's first row and no
other, 0 is no alert at all: both are checked before anything is said.
"""

import argparse
import bisect
import gzip
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.made_up.series import make, write

NAB: Final = Path(os.environ.get("INOPSIO_SHARED", "../shared")) / "data" / "nab"
CHOSEN_ON: Final = ("artificialNoAnomaly", "artificialWithAnomaly", "realAWSCloudwatch")
PROBATION_SHARE: Final = 0.15
PROBATION_ROWS: Final = 750
WELL_BEHIND: Final = 3.0
DRAWS: Final = 500
LEAST: Final = 50.0
"""The judged families' standard score below which something was broken."""
LEAST_MADE_UP: Final = 40.0
"""The same for made-up series: a few of each kind are noisy."""

Window = tuple[int, int]
"""First and last row."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Weigh a hit, a false alarm and a miss."""

    hit: float
    false_alarm: float
    miss: float


PROFILES: Final[Mapping[str, Profile]] = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP": Profile(1.0, 0.22, 1.0),
    "reward_low_FN": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Series:
    """Hold what is to be known of one file: its rows, its windows and the rows of its alerts."""

    name: str
    rows: int
    windows: Sequence[Window]
    alerts: Sequence[int] = ()

    def told(self, alerts: Iterable[int]) -> "Series":
        """Give the same series with these alerts."""
        return Series(self.name, self.rows, self.windows, sorted(alerts))


@dataclass(frozen=True, slots=True)
class Cost:
    """Hold what scoring took: CPU-seconds, seconds by the clock, MiB at most."""

    cpu_s: float
    took_s: float
    peak_mib: float


def sigmoid(place: float) -> float:
    """Give a place's worth: -1 is a window's first row, 0 its end, 3 and on is far behind it.

    >>> round(sigmoid(-1.0), 5), sigmoid(0.0), sigmoid(3.0)
    (0.98661, 0.0, -1.0)
    """
    return -1.0 if place >= WELL_BEHIND else 2 / (1 + math.exp(5 * place)) - 1


def raw_score(series: Series, profile: Profile) -> float:
    """Add up one series' windows and false alarms.

    >>> raw_score(Series("a", 1000, [(500, 599)], [500]), PROFILES["standard"])
    1.0
    >>> raw_score(Series("a", 1000, [(500, 599)], [200]), PROFILES["standard"])
    -1.11
    """
    probation = min(int(PROBATION_SHARE * series.rows), PROBATION_ROWS)
    best = {w: -profile.miss for w in series.windows if w[1] >= probation}
    false_alarms = 0.0
    for row in series.alerts:
        if row < probation:
            continue
        before = [w for w in series.windows if w[0] <= row]
        first, last = before[-1] if before else (0, -1)
        if before and row <= last:
            worth = sigmoid(-(last - row + 1) / (last - first + 1)) / sigmoid(-1.0)
            best[first, last] = max(best[first, last], worth * profile.hit)
        else:
            place = (row - last) / (last - first) if before else WELL_BEHIND
            false_alarms += profile.false_alarm * sigmoid(place)
    return sum(best.values()) + false_alarms


def nab_score(all_series: Sequence[Series], profile: Profile) -> float:
    """Give the score of a set of series: 100 is perfect, 0 is silence."""
    windows = sum(len(s.windows) for s in all_series)
    raw = sum(raw_score(s, profile) for s in all_series)
    return 100 * (raw + profile.miss * windows) / (windows * (profile.hit + profile.miss))


def windows_hit(all_series: Sequence[Series]) -> tuple[int, int, int]:
    """Count windows hit, windows, and alerts outside every window after the probation."""
    hit = outside = 0
    for s in all_series:
        counted = [r for r in s.alerts if r >= min(int(PROBATION_SHARE * s.rows), PROBATION_ROWS)]
        hit += sum(any(a <= r <= b for r in counted) for a, b in s.windows)
        outside += sum(not any(a <= r <= b for a, b in s.windows) for r in counted)
    return hit, sum(len(s.windows) for s in all_series), outside


def read(folder: Path) -> list[Series]:
    """Read the rows and windows of every file named in files.txt."""
    windows = json.loads((folder / "windows.json").read_text("utf-8"))
    found = []
    for name in (folder / "files.txt").read_text("utf-8").split():
        with gzip.open(folder / f"{name}.gz", "rt", encoding="utf-8") as text:
            times = [line.split(",", 1)[0] for line in text][1:]
        spans = [
            (bisect.bisect_left(times, a[:19]), bisect.bisect_right(times, b[:19]) - 1)
            for a, b in windows[name]
        ]
        found.append(Series(name, len(times), spans))
    return found


def make_up(folder: Path, seed: int, per_kind: int) -> list[Series]:
    """Write made-up series as CSV files, KIND/NUMBER.csv; give what is known of them."""
    made = []
    for one in make(seed, per_kind):
        write(one, folder / f"{one.name}.csv")
        made.append(Series(one.name, len(one.values), one.windows))
    return made


def run_score(files: Sequence[Path], all_series: Sequence[Series]) -> tuple[list[Series], Cost]:
    """Run the command on each series' file; give the series with alerts, and what it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "deploy", "score", *map(str, files), "--alerts", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    took_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    alerts: dict[str, list[int]] = {str(file): [] for file in files}
    for line in done.stdout.splitlines():
        told = json.loads(line)
        alerts[told["file"]].append(told["row"])
    told_series = [s.told(alerts[str(f)]) for s, f in zip(all_series, files, strict=True)]
    return told_series, Cost(used.ru_utime + used.ru_stime, took_s, used.ru_maxrss / 1024)


def at_random(all_series: Sequence[Series], seed: int) -> list[Series]:
    """Give the series with as many alerts at random rows as they have."""
    dice = random.Random(seed)
    return [s.told(dice.sample(range(s.rows), len(s.alerts))) for s in all_series]


def spread(all_series: Sequence[Series]) -> tuple[float, float]:
    """Give the middle 90 % of the standard score over series drawn anew: how noisy it is."""
    dice = random.Random(1)
    scores: list[float] = []
    while len(scores) < DRAWS:
        some = dice.choices(all_series, k=len(all_series))
        if any(s.windows for s in some):
            scores.append(nab_score(some, PROFILES["standard"]))
    cuts = statistics.quantiles(scores, n=20)
    return cuts[0], cuts[-1]


def show(name: str, some: Sequence[Series]) -> None:
    """Print one line of figures for a set of series."""
    figures = "  ".join(f"{p} {nab_score(some, PROFILES[p]):5.1f}" for p in PROFILES)
    hit, windows, outside = windows_hit(some)
    print(f"{name:42} {figures}  windows {hit}/{windows}  false alarms {outside}")


def show_families(all_series: Sequence[Series]) -> None:
    """Print one line for each family or kind, in their order."""
    for family in dict.fromkeys(s.name.split("/")[0] for s in all_series):
        some = [s for s in all_series if s.name.startswith(f"{family}/")]
        if any(s.windows for s in some):
            show(family, some)
        else:
            print(f"{family:42} no windows; alerts {windows_hit(some)[2]} in {len(some)} series")


def show_with_noise(name: str, some: Sequence[Series]) -> None:
    """Print figures, how noisy they are, and what alerts at random rows would get."""
    show(name, some)
    low, high = spread(some)
    standard = PROFILES["standard"]
    chance = statistics.fmean(nab_score(at_random(some, i), standard) for i in range(DRAWS))
    print(f"  90 % of sets like it {low:.0f} to {high:.0f}; as many alerts at random {chance:.1f}")


def judge_public(folder: Path) -> bool:
    """Print the scores by family, of those chosen on and of the others; say if these are good."""
    plain = read(folder)
    check_rules(plain)
    series, cost = run_score([folder / f"{s.name}.gz" for s in plain], plain)
    show_families(series)
    judged = [s for s in series if not s.name.startswith(CHOSEN_ON)]
    show("defaults chosen on these:", [s for s in series if s.name.startswith(CHOSEN_ON)])
    show_with_noise("judged on these:", judged)
    show_with_noise("all:", series)
    show_cost(series, cost)
    return nab_score(judged, PROFILES["standard"]) >= LEAST


def judge_made_up(seed: int, per_kind: int) -> bool:
    """Print the scores by kind and of all made-up series; say if they are good."""
    with tempfile.TemporaryDirectory() as name:
        plain = make_up(Path(name), seed, per_kind)
        check_rules(plain)
        series, cost = run_score([Path(name) / f"{s.name}.csv" for s in plain], plain)
    print(f"made-up series, seed {seed}, {per_kind} of each kind")
    show_families(series)
    show_with_noise("all:", series)
    show_cost(series, cost)
    return nab_score(series, PROFILES["standard"]) >= LEAST_MADE_UP


def check_rules(plain: Sequence[Series]) -> None:
    """See that an alert at each window's first row makes 100, and no alert 0."""
    perfect = [s.told(first for first, _ in s.windows) for s in plain]
    for profile in PROFILES.values():
        assert math.isclose(nab_score(perfect, profile), 100)
        assert nab_score(plain, profile) == 0


def show_cost(series: Sequence[Series], cost: Cost) -> None:
    """Print rows, speed, time and memory."""
    rows = sum(s.rows for s in series)
    speed = f"{rows / cost.cpu_s:,.0f} a CPU-second"
    print(f"{rows:,} rows, {speed}, {cost.took_s:.0f} s, {cost.peak_mib:.0f} MiB")


def main() -> int:
    """Judge the public series or made-up ones; give 1 if the score is below what it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=NAB)
    parser.add_argument("--made-up", action="store_true", help="judge made-up series instead")
    parser.add_argument("--seed", type=int, default=0, help="of the made-up series")
    parser.add_argument("--per", type=int, default=2, help="so many series of each kind")
    asked = parser.parse_args()
    if asked.seed < 0 or asked.per < 1:
        parser.error("--seed is at least 0, --per at least 1")
    if asked.made_up:
        return 0 if judge_made_up(asked.seed, asked.per) else 1
    return 0 if judge_public(asked.folder) else 1


if __name__ == "__main__":
    sys.exit(main())
