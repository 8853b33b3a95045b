"""Draw what machines tell of themselves: processor, network, disk, latency, temperatures."""

import numpy as np

from benchmarks.made_up.parts import (
    FIVE_MINUTES_S,
    HOUR_S,
    Bools,
    Dice,
    Drawn,
    Floats,
    choose,
    clock,
    daily,
    lone_spikes,
    one_of,
    onsets,
    some,
    wander,
)


def cpu_load(dice: Dice) -> Drawn:
    """Draw a processor's load in percent: a level with noise and spikes; all events of one sort."""
    rows = one_of(dice, [2500, 4032, 4032])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    base, noise = dice.uniform(2, 60), dice.uniform(0.3, 4)
    load = base + wander(dice, rows, dice.uniform(0, 0.9), noise)
    load += lone_spikes(dice, rows, dice.uniform(0, 0.01), dice.uniform(3, 12) * noise)
    count = some(dice, 1, 3)
    sort = choose(dice, ["level", "burst", "uneven", "spike", "still", "short_level"])
    lasts = {
        "level": rows,
        "burst": some(dice, 6, 40),
        "uneven": some(dice, 40, 150),
        "spike": some(dice, 1, 4),
        "still": some(dice, 30, 120),
        "short_level": some(dice, 12, 150),
    }[sort]
    starts = onsets(dice, rows, count, min(lasts, 150))
    spread = float(load.std())
    for at in starts:
        _disturb_load(dice, sort, load[at : at + lasts], spread)
    return Drawn(times_s, np.maximum(load, 0).round(3), [(at, min(lasts, 150)) for at in starts])


def _disturb_load(dice: Dice, sort: str, part: Floats, spread: float) -> None:
    match sort:
        case "level" | "short_level":
            part += dice.choice([-1, 1]) * spread * dice.uniform(1.5, 6)
        case "burst":
            height = np.abs(dice.normal(0, 1, len(part))) * spread * dice.uniform(3, 8)
            part += height * (dice.random(len(part)) < 0.5)
        case "uneven":
            part += dice.normal(0, spread * dice.uniform(1.5, 4), len(part))
        case "spike":
            part += spread * dice.uniform(7, 20)
        case _:
            part[:] = part[0]


def network_jobs(dice: Dice) -> Drawn:
    """Draw bytes of a network card: a low level and jobs at even times; all events of one sort."""
    rows = one_of(dice, [3000, 4032])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    period = one_of(dice, [12, 24, 36, 72, 144, 288])
    sent = np.exp(wander(dice, rows, 0.3, dice.uniform(0.1, 0.4))) * dice.uniform(100, 1e5)
    height = np.median(sent) * dice.uniform(5, 50)
    job_rows = some(dice, 1, max(2, period // 6))
    runs = (np.arange(rows) % period) < job_rows
    count = some(dice, 1, 3)
    sort = choose(dice, ["missed", "dense", "long", "big", "at_odd_time"])
    lasts = {
        "missed": period * some(dice, 2, 4),
        "dense": 60,
        "long": max(4 * job_rows, 20),
        "big": 6,
        "at_odd_time": job_rows + 2,
    }[sort]
    lasts = min(lasts, 300)
    starts = onsets(dice, rows, count, lasts)
    for at in starts:
        _disturb_jobs(dice, sort, runs[at : at + lasts])
    sent = sent + height * np.exp(dice.normal(0, 0.25, rows)) * runs
    for at in starts:
        if sort == "big":
            sent[at : at + lasts] += height * dice.uniform(2, 6)
        if sort == "at_odd_time":
            odd = at - (at % period) + period // 2
            sent[odd : odd + lasts] += height
    return Drawn(times_s, sent.round(1), [(at, lasts) for at in starts])


def _disturb_jobs(dice: Dice, sort: str, part: Bools) -> None:
    match sort:
        case "missed":
            part[:] = False
        case "dense":
            part[:] = dice.random(len(part)) < 0.4
        case "long":
            part[:] = True


def disk_writes(dice: Dice) -> Drawn:
    """Draw bytes written to a disk: mostly little or nothing, now and then much."""
    rows = one_of(dice, [3000, 4032])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    busy = dice.random(rows) < dice.uniform(0.005, 0.08)
    much = np.exp(dice.normal(0, 0.7, rows)) * dice.uniform(1e5, 1e7)
    little = dice.choice([0, 1]) * np.abs(dice.normal(0, 1e3, rows))
    written = np.where(busy, much, little)
    starts = onsets(dice, rows, some(dice, 1, 3), 60)
    high = float(np.quantile(written[busy], 0.9)) if busy.any() else 1e6
    for at in starts:
        sort = choose(dice, ["burst", "run", "big"])
        lasts = some(dice, 10, 60)
        if sort == "burst":
            often = dice.random(lasts) < 0.6
            written[at : at + lasts] += often * high * np.exp(dice.normal(0, 0.4, lasts))
        elif sort == "run":
            written[at : at + lasts] += high * 0.3
        else:
            written[at : at + 2] = high * dice.uniform(3, 10)
    return Drawn(times_s, written.round(1), [(at, 40) for at in starts])


def latency(dice: Dice) -> Drawn:
    """Draw milliseconds until an answer: a level that wanders, and heavy-tailed spikes."""
    rows = one_of(dice, [3000, 4032])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    level = dice.uniform(20, 60)
    wait_ms = level * np.exp(
        wander(dice, rows, dice.uniform(0.2, 0.9), dice.uniform(0.02, 0.15)),
    )
    rate = dice.uniform(0.001, 0.02)
    wait_ms += lone_spikes(dice, rows, rate, dice.uniform(0.2, 1) * float(np.median(wait_ms)))
    starts = onsets(dice, rows, some(dice, 1, 4), 100)
    middle, spread = float(np.median(wait_ms)), float(wait_ms.std())
    for at in starts:
        sort = choose(dice, ["up", "uneven", "creep", "spikes", "drop"])
        part = wait_ms[at : at + some(dice, 20, 150)]
        if sort == "creep":
            share = np.minimum(1, np.arange(rows - at) / len(part))
            wait_ms[at:] += share * spread * dice.uniform(1.5, 4)
        else:
            _disturb_latency(dice, sort, part, middle, spread)
    return Drawn(times_s, np.maximum(wait_ms, 0).round(3), [(at, 60) for at in starts])


def _disturb_latency(dice: Dice, sort: str, part: Floats, middle: float, spread: float) -> None:
    match sort:
        case "up":
            part += spread * dice.uniform(1.2, 4)
        case "uneven":
            part += np.abs(dice.normal(0, spread * dice.uniform(1.5, 4), len(part)))
        case "spikes":
            part += (dice.random(len(part)) < 0.25) * spread * dice.uniform(4, 8)
        case _:
            part -= (middle * 0.5) * dice.uniform(0.5, 1)


def machine_temperature(dice: Dice) -> Drawn:
    """Draw degrees of a large machine: slow wandering, a little of the day, usual dips."""
    rows = one_of(dice, [8000, 12000, 18000])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    degrees = (
        dice.uniform(60, 100)
        + wander(dice, rows, 0.998, dice.uniform(0.15, 0.35)) * dice.uniform(1, 2)
        + wander(dice, rows, 0.7, 0.5)
        + dice.uniform(0, 3) * daily(dice, times_s)
    )
    starts = onsets(dice, rows, some(dice, 2, 5), 250)
    spread = float(degrees.std())
    for usual in np.nonzero(dice.random(rows) < 3 / rows)[0]:
        dip = degrees[usual : usual + some(dice, 20, 80)]
        dip -= spread * dice.uniform(0.5, 1.5) * np.hanning(len(dip))
    for at in starts:
        _disturb_machine(dice, degrees[at:], spread)
    return Drawn(times_s, degrees.round(4), [(at, 120) for at in starts])


def _disturb_machine(dice: Dice, rest: Floats, spread: float) -> None:
    match choose(dice, ["shutdown", "sag", "unstable", "rise", "failure"]):
        case "shutdown":
            part = rest[: some(dice, 30, 200)]
            row = np.arange(len(part))
            edge = np.minimum(1, np.minimum(row, len(part) - 1 - row) / 6)
            part -= spread * dice.uniform(3, 7) * edge
        case "sag":
            part = rest[: some(dice, 150, 500)]
            part -= spread * dice.uniform(2, 4) * np.hanning(len(part))
        case "unstable":
            part = rest[:200]
            part += wander(dice, len(part), 0.9, spread * dice.uniform(0.4, 1))
        case "rise":
            part = rest[:300]
            part += spread * dice.uniform(2, 4) * np.hanning(len(part))
        case _:
            part = rest[:120]
            part -= spread * dice.uniform(4, 9) * np.linspace(0, 1, len(part)) ** 1.5


def room_temperature(dice: Dice) -> Drawn:
    """Draw degrees of a room by the hour: the year, the day, and up to two gaps in the rows."""
    rows = one_of(dice, [4000, 7267])
    times_s = clock(dice, rows, HOUR_S)
    kept = np.ones(rows, bool)
    for _ in range(some(dice, 0, 3)):
        gap = some(dice, rows // 5, rows - 200)
        kept[gap : gap + some(dice, 10, 150)] = False
    level = dice.uniform(60, 75)
    year = np.sin(2 * np.pi * np.arange(rows) / dice.uniform(5000, 9000) + dice.uniform(0, 6))
    degrees = level + 3 * year + dice.uniform(1, 4) * daily(dice, times_s, weekend=1)
    degrees = degrees + wander(dice, rows, 0.95, 0.4)
    count, lasts = some(dice, 1, 3), some(dice, 30, 150)
    starts = onsets(dice, rows, count, lasts)
    spread = float(degrees.std())
    for at in starts:
        sort = choose(dice, ["low", "high", "swing", "stuck"])
        kept[at - 100 : at + lasts] = True
        _disturb_room(dice, sort, degrees[at : at + lasts], spread)
    place = np.cumsum(kept) - 1
    events = [(int(place[at]), lasts) for at in starts]
    return Drawn(times_s[kept], degrees.round(4)[kept], events)


def _disturb_room(dice: Dice, sort: str, part: Floats, spread: float) -> None:
    match sort:
        case "low" | "high":
            sign = 1 if sort == "high" else -1
            far = sign * spread * dice.uniform(1.5, 3.5)
            part += far * np.minimum(1, np.arange(len(part)) / 10)
        case "swing":
            part += wander(dice, len(part), 0.6, spread * dice.uniform(0.6, 1.5))
        case _:
            part[:] = part[0] + dice.normal(0, 0.02, len(part))
