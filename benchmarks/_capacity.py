"""Reckon what a house needs for a rate, and simulate it: brokers, pipelines, database, lag.

The model is arithmetic over measured costs; the simulation runs the same costs through queues,
partitions of unequal load, steps of bounded size and processes that die, and says whether the lag
stays bounded. Costs: CPU-seconds an event, from `benchmarks.end_to_end` and its neighbours.
"""

import heapq
import math
import random
from dataclasses import dataclass
from typing import Final

STEP_ROWS: Final = 50_000
"""Most events of one step: 32 MiB of lines of 620 bytes."""
TAKEOVER_S: Final = 15.0
"""From the death of a process to the work of the next on its partitions."""

SPARE: Final = 0.9
"""Use of the cores that are left when one process is gone."""
LOOK_S: Final = 0.1
"""Between two looks at a log that has little."""


@dataclass(frozen=True)
class Costs:
    """What one event costs, CPU-seconds; `step_s`: what a step costs however little is in it."""

    pipelines_s: float
    step_s: float
    server_s: float
    bytes_in: float
    bytes_kept: float


@dataclass(frozen=True)
class Plan:
    """What is needed for a rate, with the share of each core that is used."""

    processes: int
    partitions: int
    database_cores: int
    log_mb_s: float
    lake_gb_day: float
    use: float


def plan(rate: float, costs: Costs, use: float = 0.7) -> Plan:
    """Reckon the house for `rate` events a second, cores being used to `use`.

    >>> plan(1000.0, Costs(40e-6, 0.05, 4e-6, 620, 60)).processes
    1
    """
    cores = rate * costs.pipelines_s
    # One may be gone, and the rest must still gain on what has lain meanwhile.
    processes = (
        1 if cores < SPARE / 2 else max(math.ceil(cores / use), math.ceil(cores / SPARE) + 1)
    )
    return Plan(
        processes=processes,
        # Four a process: unequal partitions even out, and a lost process' share goes to several.
        partitions=max(8, 4 * processes),
        database_cores=math.ceil(rate * costs.server_s / use),
        log_mb_s=rate * costs.bytes_in / 1e6,
        lake_gb_day=rate * costs.bytes_kept * 86_400 / 1e9,
        use=use,
    )


@dataclass(frozen=True)
class Seen:
    """What a simulation saw: the greatest lag of a partition, that at the end, cores' use."""

    worst_lag_s: float
    last_lag_s: float
    busy: float


def simulate(
    rate: float,
    costs: Costs,
    processes: int,
    partitions: int,
    *,
    seconds: float = 300.0,
    deaths: int = 1,
    skew: float = 0.3,
    seed: int = 1,
) -> Seen:
    """Play a house: processes work their partitions step by step, `deaths` of them die.

    `skew`: how unequal the partitions' loads are (standard deviation of their logarithm). A dead
    process' partitions wait for `TAKEOVER_S` and go to the others for good.
    """
    dice = random.Random(seed)
    weights = [math.exp(dice.gauss(0.0, skew)) for _ in range(partitions)]
    rates = [rate * w / sum(weights) for w in weights]
    done_to = [0.0] * partitions
    """Until when the events of a partition have been worked, s."""
    owned = [list(range(p, partitions, processes)) for p in range(processes)]
    dies_at = dict.fromkeys(
        dice.sample(range(processes), min(deaths, processes - 1)), seconds * 0.3
    )
    turns = [(dice.random() * 0.1, p) for p in range(processes)]
    heapq.heapify(turns)
    busy_s = worst = 0.0
    while turns:
        now, p = heapq.heappop(turns)
        if now >= seconds:
            continue
        if p < 0:  # what a dead process had is taken over
            heirs = [h for h in range(processes) if h not in dies_at]
            for n, lane in enumerate(owned[~p]):
                owned[heirs[n % len(heirs)]].append(lane)
            continue
        if now >= dies_at.get(p, seconds):
            heapq.heappush(turns, (now + TAKEOVER_S, ~p))
            continue
        lane = max(owned[p], key=lambda one: (now - done_to[one]) * rates[one])
        waiting = min((now - done_to[lane]) * rates[lane], STEP_ROWS)
        spent = costs.step_s + waiting * costs.pipelines_s
        worst = max(worst, now - done_to[lane])
        done_to[lane] += waiting / rates[lane]
        busy_s += spent
        heapq.heappush(turns, (now + max(spent, LOOK_S), p))
    last = max(seconds - one for one in done_to)
    return Seen(worst, last, busy_s / (seconds * processes))
