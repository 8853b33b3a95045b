"""Draw the parts that made-up series consist of: clocks, noise, seasons, places of events.

The order of the draws is part of what a seed means: whoever changes it gets other series, and the
figures of decision 014 no longer come from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Dice = np.random.Generator

Event = tuple[int, int]
"""The row at which something unusual begins, and how many rows it is said to last."""

DAY_S: Final = 86_400
FIVE_MINUTES_S: Final = 300
HOUR_S: Final = 3600
FIRST_S: Final = 1.3e9
"""No clock starts before this time; it starts in the week after it."""
SATURDAY: Final = 5
TRIES: Final = 300


@dataclass(frozen=True, slots=True)
class Drawn:
    """Hold a series: times in seconds since 1970, values, and the events put in."""

    times_s: Floats
    values: Floats
    events: Sequence[Event]


def clock(dice: Dice, rows: int, step_s: int) -> Floats:
    """Give the times of evenly spaced rows."""
    start_s = FIRST_S + dice.integers(0, 7 * DAY_S // step_s) * step_s
    return np.asarray(start_s + np.arange(rows) * step_s)


def day_share(times_s: Floats) -> Floats:
    """Give how much of its day has gone at each time, 0 to 1."""
    return (times_s % DAY_S) / DAY_S


def weekday(times_s: Floats) -> Floats:
    """Give the day of the week of each time, 0 is Monday.

    >>> float(weekday(np.array([0.0]))[0])
    3.0
    """
    return ((times_s // DAY_S) + 3) % 7


def choose(dice: Dice, names: Sequence[str]) -> str:
    """Give one of the names; one that stands twice comes twice as often."""
    return str(dice.choice(list(names)))


def some(dice: Dice, low: int, high: int) -> int:
    """Give a whole number from low to high - 1."""
    return int(dice.integers(low, high))


def one_of(dice: Dice, numbers: Sequence[int]) -> int:
    """Give one of the numbers."""
    return int(dice.choice(list(numbers)))


def wander(dice: Dice, rows: int, memory: float, step: float) -> Floats:
    """Give noise of which each row keeps the share `memory` of the row before (AR of order 1)."""
    steps = dice.normal(0, step, rows)
    path = np.empty(rows)
    at = 0.0
    for i in range(rows):
        at = memory * at + steps[i]
        path[i] = at
    return path


def lone_spikes(dice: Dice, rows: int, rate: float, height: float) -> Floats:
    """Give heavy-tailed single spikes at the share `rate` of the rows, zero elsewhere."""
    spikes = np.zeros(rows)
    hit = dice.random(rows) < rate
    spikes[hit] = height * (dice.pareto(2.5, int(hit.sum())) + 0.3)
    return spikes


def bump(places: Floats, middle: float, width: float) -> Floats:
    """Give a bell of height 1."""
    return np.asarray(np.exp(-0.5 * ((places - middle) / width) ** 2))


def daily(dice: Dice, times_s: Floats, weekend: float | None = None) -> Floats:
    """Give a smooth curve of the day, 1 at its top, on Saturday and Sunday times `weekend`."""
    of_day = day_share(times_s)
    curve = np.zeros(len(times_s))
    for _ in range(some(dice, 1, 4)):
        middle, width = dice.uniform(0.3, 0.95), dice.uniform(0.05, 0.2)
        height = dice.uniform(0.4, 1)
        away = np.abs(of_day - middle)
        curve += height * bump(np.minimum(away, 1 - away), 0, width)
    curve /= curve.max()
    if weekend is None:
        weekend = dice.uniform(0.4, 1.0)
    return curve * np.where(weekday(times_s) >= SATURDAY, weekend, 1.0)


def onsets(dice: Dice, rows: int, count: int, lasts: int) -> list[int]:
    """Give the rows where `count` events of `lasts` rows begin, after the probation, well apart.

    Where no room for so many is found in 300 tries there is one.
    """
    low, high = int(max(0.2 * rows, 320)), rows - max(lasts, int(0.06 * rows)) - 5
    apart = max(int(0.1 * rows / count * 1.3), lasts + 60)
    for _ in range(TRIES):
        found = np.sort(dice.integers(low, high, count))
        if count == 1 or np.diff(found).min() >= apart:
            return [int(row) for row in found]
    return [some(dice, low, high)]
