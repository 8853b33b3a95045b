"""Make series of fourteen kinds with known windows, the same for the same seed; write them as CSV.

The kinds follow what is commonly known of such metrics. A window is laid as NAB lays it: a tenth
of a series' rows is shared out among its events, and windows that touch become one.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.made_up import machines, people
from benchmarks.made_up.parts import Dice, Drawn, Event, Floats, some

Kind = Callable[[Dice], Drawn]
WINDOW_SHARE: Final = 0.1
"""Of a series' rows, all windows together."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Hold one series: its name KIND/NUMBER, times in seconds since 1970, values, windows.

    A window is the first and the last row in which an alert is a hit.
    """

    name: str
    times_s: Floats
    values: Floats
    windows: Sequence[tuple[int, int]]


def no_anomaly(dice: Dice) -> Drawn:
    """Draw a series of another kind and cut it off before its first event."""
    kind = _CUT[some(dice, 0, len(_CUT))]
    drawn = kind(dice)
    end = drawn.events[0][0]
    return Drawn(drawn.times_s[:end], drawn.values[:end], [])


_CUT: Final[Sequence[Kind]] = (
    machines.cpu_load,
    people.cloud_service,
    machines.network_jobs,
    people.mentions,
    machines.machine_temperature,
    machines.latency,
    machines.disk_writes,
    people.ad_prices,
)

KINDS: Final[Mapping[str, Kind]] = {
    "cpu_load": machines.cpu_load,
    "cloud_service": people.cloud_service,
    "network_jobs": machines.network_jobs,
    "mentions": people.mentions,
    "road_traffic": people.road_traffic,
    "machine_temperature": machines.machine_temperature,
    "taxi_demand": people.taxi_demand,
    "room_temperature": machines.room_temperature,
    "latency": machines.latency,
    "computer_use": people.computer_use,
    "ad_prices": people.ad_prices,
    "disk_writes": machines.disk_writes,
    "wrong_setting": people.wrong_setting,
    "no_anomaly": no_anomaly,
}
"""A kind's place is part of its seed: new kinds go to the end."""


def make(seed: int, per_kind: int) -> Iterator[MadeUp]:
    """Give `per_kind` series of each kind; more of them leave the first as they are."""
    for place, (name, kind) in enumerate(KINDS.items()):
        for number in range(per_kind):
            dice = np.random.default_rng([seed, place, number])
            drawn = kind(dice)
            windows = lay_windows(dice, len(drawn.values), drawn.events)
            yield MadeUp(f"{name}/{number}", drawn.times_s, drawn.values, windows)


def lay_windows(dice: Dice, rows: int, events: Sequence[Event]) -> list[tuple[int, int]]:
    """Give the windows around events: each about the event's first half, touching ones joined."""
    windows: list[tuple[int, int]] = []
    for at, lasts in sorted(events):
        width = int(WINDOW_SHARE * rows / len(events))
        middle = at + int(dice.uniform(0, 0.5) * min(lasts, width))
        first, last = max(0, middle - width // 2), min(rows - 1, middle + width // 2)
        if windows and first <= windows[-1][1]:
            windows[-1] = (windows[-1][0], last)
        else:
            windows.append((first, last))
    return windows


def write(series: MadeUp, file: Path) -> None:
    """Write a series as CSV with the columns timestamp (UTC) and value."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as text:
        rows = csv.writer(text)
        rows.writerow(("timestamp", "value"))
        for time_s, value in zip(series.times_s.tolist(), series.values.tolist(), strict=True):
            rows.writerow((datetime.fromtimestamp(time_s, UTC).strftime("%F %T"), value))
