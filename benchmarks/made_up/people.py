"""Draw what people do to a metric: seasons of the day and week, bursts, holidays, jams."""

import numpy as np

from benchmarks.made_up.parts import (
    DAY_S,
    FIVE_MINUTES_S,
    HOUR_S,
    SATURDAY,
    Bools,
    Dice,
    Drawn,
    Event,
    Floats,
    bump,
    choose,
    clock,
    daily,
    day_share,
    lone_spikes,
    one_of,
    onsets,
    some,
    wander,
    weekday,
)

HALF_HOUR_S = 1800
HALF_HOURS = 48
"""Rows of a day of taxi demand."""


def cloud_service(dice: Dice) -> Drawn:
    """Draw the use of a service with a clear day; all events of one sort."""
    step_s = one_of(dice, [300, 300, 600])
    rows = one_of(dice, [3000, 4032, 6000])
    times_s = clock(dice, rows, step_s)
    day_rows = DAY_S // step_s
    curve = daily(dice, times_s)
    height = dice.uniform(20, 100)
    noise = dice.uniform(0.02, 0.15) * height
    count = some(dice, 1, 3)
    sort = choose(dice, ["missing", "no_night", "shifted", "extra", "high", "still"])
    lasts = int(day_rows * dice.uniform(0.25, 1.2))
    starts = onsets(dice, rows, count, lasts)
    for at in starts:
        if sort == "shifted":
            earlier = at - int(day_rows * dice.uniform(0.2, 0.5))
            curve[at : at + lasts] = curve[earlier : earlier + lasts].copy()
        else:
            _disturb_day(dice, sort, curve[at : at + lasts])
    used = dice.uniform(0, 30) + height * curve
    used = used + wander(dice, rows, dice.uniform(0, 0.8), noise)
    used = used + lone_spikes(dice, rows, dice.uniform(0, 0.004), dice.uniform(1, 4) * noise)
    return Drawn(times_s, np.maximum(used, 0).round(3), [(at, lasts) for at in starts])


def _disturb_day(dice: Dice, sort: str, part: Floats) -> None:
    lasts = len(part)
    match sort:
        case "missing":
            part *= dice.uniform(0, 0.35)
        case "no_night":
            part[:] = np.maximum(part, dice.uniform(0.5, 0.9))
        case "extra":
            row = np.arange(lasts, dtype=float)
            part += dice.uniform(0.5, 1) * bump(row, lasts / 2, lasts / 8 + 1)
        case "high":
            part *= dice.uniform(1.3, 2)
        case _:
            part[:] = part[0]


def mentions(dice: Dice) -> Drawn:
    """Draw counts of how often a name is mentioned: usual bursts, and greater ones as events."""
    rows = one_of(dice, [8000, 12000, 15800])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    curve = daily(dice, times_s)
    rate = dice.uniform(3, 60) * (0.15 + curve)
    rate = rate * np.exp(wander(dice, rows, 0.99, 0.04))
    bursts = np.zeros(rows)
    for usual in np.nonzero(dice.random(rows) < dice.uniform(0.002, 0.006))[0]:
        size = min(dice.pareto(1.8) * 1.2, 12)
        fades = dice.uniform(2, 25)
        part = bursts[usual : usual + 150]
        part += size * np.exp(-np.arange(len(part)) / fades)
    starts = onsets(dice, rows, some(dice, 2, 5), 100)
    top = float(np.quantile(bursts, 0.998))
    for at in starts:
        if choose(dice, ["burst", "lasting", "burst"]) == "burst":
            part = bursts[at : at + 300]
            size = dice.uniform(1.2, 4) * max(top, 3)
            part += size * np.exp(-np.arange(len(part)) / dice.uniform(4, 40))
        else:
            lasts = some(dice, 40, 140)
            bursts[at : at + lasts] += max(top, 2) * dice.uniform(0.5, 1)
    mean = rate * (1 + bursts)
    evenness = dice.uniform(3, 20)
    counted = dice.negative_binomial(evenness, evenness / (evenness + mean))
    return Drawn(times_s, counted.astype(float), [(at, 60) for at in starts])


def road_traffic(dice: Dice) -> Drawn:
    """Draw speed, occupancy or travel time of a road, unevenly measured: rush hours and jams."""
    rows = one_of(dice, [1200, 2000, 2500, 2500])
    gap_s = dice.choice([300, 300, 300, 600, 900, 1200], rows) * 1.0
    times_s = 1.4e9 + dice.integers(0, 2000) * 300 + np.cumsum(gap_s)
    measure = choose(dice, ["speed", "occupancy", "travel_time"])
    of_day = day_share(times_s)
    rush = bump(of_day, dice.uniform(0.3, 0.36), 0.03)
    evening = dice.uniform(0.5, 1)
    rush = rush + evening * bump(of_day, dice.uniform(0.7, 0.76), 0.04)
    rush *= np.where(weekday(times_s) >= SATURDAY, 0.25, 1) * np.exp(dice.normal(0, 0.2, rows))
    count, lasts = some(dice, 1, 4), some(dice, 3, 40)
    starts = onsets(dice, rows, count, lasts)
    jam = np.zeros(rows)
    for at in starts:
        jam[at : at + lasts] = dice.uniform(0.8, 2)
    for usual in np.nonzero(dice.random(rows) < 0.006)[0]:
        jam[usual : usual + some(dice, 1, 4)] += dice.uniform(0.2, 0.9)
    measured = _measured(dice, measure, of_day, rush, jam)
    return Drawn(times_s, measured, [(at, lasts) for at in starts])


def _measured(dice: Dice, measure: str, of_day: Floats, rush: Floats, jam: Floats) -> Floats:
    rows = len(rush)
    if measure == "speed":
        free = dice.uniform(60, 75)
        slower = free - dice.uniform(8, 35) * rush - dice.uniform(20, 40) * jam
        return np.maximum(slower + dice.normal(0, 3, rows), 3).round()
    if measure == "occupancy":
        day = 0.3 + 0.7 * bump(of_day, 0.55, 0.2)
        share = 6 * day + 8 * rush + 15 * jam + dice.normal(0, 1.2, rows)
        return np.maximum(share, 0).round(2)
    takes = dice.uniform(80, 400) * (1 + 0.8 * rush + dice.uniform(2, 6) * jam)
    takes = takes * np.exp(dice.normal(0, 0.15, rows))
    return (takes * np.where(dice.random(rows) < 0.02, dice.uniform(1.5, 4), 1)).round()


def taxi_demand(dice: Dice) -> Drawn:
    """Draw rides by the half hour: working days, week-ends, days that differ, slow change."""
    rows = one_of(dice, [5000, 8000, 10320])
    times_s = clock(dice, rows, HALF_HOUR_S)
    working, weekend = daily(dice, times_s, weekend=1.0), daily(dice, times_s, weekend=1.0)
    of_week, night = weekday(times_s), day_share(times_s) < 0.15
    of_day = dice.uniform(0.85, 1.1, 7)
    late = dice.uniform(0.1, 0.5)
    free = weekend * dice.uniform(0.7, 1) + late * night
    curve = np.where(of_week >= SATURDAY, free, working) * of_day[of_week.astype(int)] + 0.12
    curve *= np.exp(wander(dice, rows, 0.97, 0.012))
    day = ((times_s - times_s[0] + times_s[0] % DAY_S) // DAY_S).astype(int)
    curve *= np.exp(dice.normal(0, 0.03, int(day.max()) + 1))[day]
    season = dice.uniform(-0.2, 0.2)
    curve *= 1 + season * np.sin(2 * np.pi * np.arange(rows) / rows * dice.uniform(0.5, 1.5))
    starts = onsets(dice, rows, some(dice, 2, 6), HALF_HOURS)
    usual, sunday = curve.copy(), weekend * 0.8 + late * night + 0.12
    events: list[Event] = []
    for at in starts:
        sort = choose(dice, ["holiday", "storm", "event", "holiday", "quiet"])
        if sort != "event":
            at -= int((times_s[at] % DAY_S) // HALF_HOUR_S)
        if sort == "holiday":
            works = of_week[at] < SATURDAY
            like, low, high = (sunday, 0.6, 0.95) if works else (usual, 0.45, 0.7)
            curve[at : at + HALF_HOURS] = like[at : at + HALF_HOURS] * dice.uniform(low, high)
        else:
            _disturb_demand(dice, sort, curve[at:])
        events.append((at, HALF_HOURS))
    rides = curve * dice.uniform(5e3, 3e4) * np.exp(dice.normal(0, 0.03, rows))
    return Drawn(times_s, rides.round(), events)


def _disturb_demand(dice: Dice, sort: str, rest: Floats) -> None:
    match sort:
        case "storm":
            part = rest[HALF_HOURS // 3 : HALF_HOURS]
            part *= np.linspace(1, dice.uniform(0.05, 0.4), len(part))
        case "quiet":
            rest[:HALF_HOURS] *= dice.uniform(0.4, 0.75)
        case _:
            rest[: some(dice, 3, 12)] += dice.uniform(0.4, 1)


def computer_use(dice: Dice) -> Drawn:
    """Draw what one person does at a computer: nothing, or sessions by the hour of the day."""
    rows = one_of(dice, [1900, 3000, 5300])
    times_s = clock(dice, rows, one_of(dice, [300, 300, 600]))
    active = daily(dice, times_s, weekend=dice.uniform(0, 0.6))
    uses = np.zeros(rows, bool)
    in_session = False
    for i in range(rows):
        begins = 0.03 * active[i] ** 2 + 0.0008
        in_session = dice.random() > 0.05 if in_session else dice.random() < begins
        uses[i] = in_session
    count, lasts = some(dice, 1, 3), some(dice, 20, 120)
    starts = onsets(dice, rows, count, lasts)
    amount = np.exp(dice.normal(0, 0.35, rows))
    factor = np.ones(rows)
    for at in starts:
        part = slice(at, at + lasts)
        _disturb_use(dice, uses[part], amount[part], factor[part])
    used = np.where(uses, dice.uniform(0.05, 5) * amount * factor, 0)
    used = used + np.where(uses, 0, np.maximum(dice.normal(0, 0.002, rows), 0))
    return Drawn(times_s, used.round(5), [(at, lasts) for at in starts])


def _disturb_use(dice: Dice, uses: Bools, amount: Floats, factor: Floats) -> None:
    match choose(dice, ["more", "steady", "odd", "less"]):
        case "more":
            uses[:] = True
            factor[:] = dice.uniform(1.8, 4)
        case "steady":
            uses[:] = True
            amount[:] = 1 + dice.normal(0, 0.02, len(amount))
        case "odd":
            uses[:] = dice.random(len(uses)) < 0.5
        case _:
            uses[:] = True
            factor[:] = dice.uniform(0.2, 0.5)


def ad_prices(dice: Dice) -> Drawn:
    """Draw prices of an advertisement by the hour: a day, noise, usual high hours."""
    rows = some(dice, 1400, 1700)
    times_s = clock(dice, rows, HOUR_S)
    price = dice.uniform(0.05, 5) * (1 + dice.uniform(0.1, 1) * daily(dice, times_s))
    price = price * np.exp(wander(dice, rows, dice.uniform(0.1, 0.8), dice.uniform(0.1, 0.35)))
    price *= np.where(dice.random(rows) < 0.008, dice.uniform(1.5, 4, rows), 1)
    starts = onsets(dice, rows, some(dice, 1, 4), 30)
    high = float(np.quantile(price, 0.99))
    for at in starts:
        sort = choose(dice, ["spike", "day", "collapse", "spike"])
        lasts = some(dice, 12, 40)
        if sort == "spike":
            spike = high * dice.uniform(1.5, 6)
            price[at : at + some(dice, 1, 4)] = spike
        elif sort == "day":
            price[at : at + lasts] *= dice.uniform(2, 4)
        else:
            price[at : at + lasts] *= dice.uniform(0.1, 0.4)
    return Drawn(times_s, price.round(6), [(at, 20) for at in starts])


def wrong_setting(dice: Dice) -> Drawn:
    """Draw the use of a service with a clear day that is wrongly set for one to five days."""
    rows = one_of(dice, [8000, 12000, 18050])
    times_s = clock(dice, rows, FIVE_MINUTES_S)
    day_rows = DAY_S // FIVE_MINUTES_S
    curve = daily(dice, times_s)
    curve = curve * np.exp(dice.normal(0, 0.1, rows // day_rows + 2))[np.arange(rows) // day_rows]
    height, base = dice.uniform(20, 60), dice.uniform(10, 40)
    used = base + height * curve + wander(dice, rows, dice.uniform(0.2, 0.9), dice.uniform(0.5, 4))
    used = used + lone_spikes(dice, rows, 0.003, dice.uniform(5, 15))
    at = onsets(dice, rows, 1, 600)[0]
    lasts = some(dice, day_rows, 5 * day_rows)
    _set_wrongly(dice, used[at : at + lasts], base, height)
    return Drawn(times_s, np.maximum(used, 0).round(3), [(at, min(lasts, 400))])


def _set_wrongly(dice: Dice, part: Floats, base: float, height: float) -> None:
    lasts = len(part)
    match choose(dice, ["plateau", "no_season", "waves", "drift", "low"]):
        case "plateau":
            top = np.minimum(100, base + height * dice.uniform(0.9, 1.3))
            part[:] = top + dice.normal(0, 2, lasts)
        case "no_season":
            part[:] = base + height * 0.5 + wander(dice, lasts, 0.9, 2)
        case "waves":
            wave = np.sin(np.arange(lasts) * 2 * np.pi / dice.integers(24, 120))
            part += height * 0.6 * np.abs(wave)
        case "drift":
            part += height * dice.uniform(0.6, 1.2) * np.linspace(0, 1, lasts)
        case _:
            part[:] = base * 0.4 + dice.normal(0, 1.5, lasts)
