import math
import random
import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._series import ALERT_SCORE, AlertOnce, Scored, SeriesScorer
from detectors._series.calibration import Calibration
from detectors._series.context import Context
from detectors._series.rarity import Rarity

FIVE_MINUTES_S = 300
DAY_ROWS = 288


def score(values: Iterable[float]) -> list[Scored]:
    scorer = SeriesScorer()
    return [scorer.score(i * FIVE_MINUTES_S, v) for i, v in enumerate(values)]


def alerts(values: Iterable[float]) -> list[tuple[int, str]]:
    scorer, once, found = SeriesScorer(), AlertOnce(), []
    for i, value in enumerate(values):
        scored = scorer.score(i * FIVE_MINUTES_S, value)
        if once.is_alert(i, scored.score):
            found.append((i, scorer.reason(scored)))
    return found


def days(count: int, seed: int = 1) -> list[float]:
    noise = random.Random(seed)
    return [
        50 + 20 * math.sin(2 * math.pi * i / DAY_ROWS) + noise.gauss(0, 1)
        for i in range(count * DAY_ROWS)
    ]


any_float = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(any_float, st.sampled_from([0.0, 1.0, 2.0])), max_size=200), st.data())
def test_a_row_is_scored_by_the_rows_before_it_alone(
    values: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole = score(values)
    assert score(values[:cut]) == whole[:cut]
    assert all(math.isfinite(s.score) and s.score >= 0 for s in whole)


@pytest.mark.parametrize(
    "value",
    [
        lambda i: 7.0,
        lambda i: (-1.0) ** i * 1e308,
        lambda i: 1e-320 * (i % 3),
        lambda i: 1e300 if i == 700 else float(i % 2),
        lambda i: 1e308 if i == 700 else 1e-320 * (i % 3 + i % 7),
        lambda i: 10.0 ** (i % 600 - 300),
    ],
    ids=["constant", "huge and alternating", "tiny", "one huge", "one huge in tiny", "all sizes"],
)
def test_nasty_series_have_finite_scores(value: Callable[[int], float]) -> None:
    assert all(math.isfinite(s.score) for s in score(value(i) for i in range(1_000)))


def test_quiet_series_are_quiet() -> None:
    assert alerts([7.0] * 5_000) == []
    # One may come when the second day is there to be compared with the first.
    assert len(alerts([float(i % 12) for i in range(5_000)])) <= 1
    assert len(alerts(days(14))) <= 14


def test_a_spike_is_found_at_its_row_or_the_next() -> None:
    values = days(8)
    values[2_000] += 60
    found = dict(alerts(values))
    why = found.get(2_000) or found[2_001]
    assert re.match(r"value [\d.]+, expected [-\d.]+ to [\d.]+", why)


def test_a_new_level_is_found_within_an_hour() -> None:
    values = days(8)
    values[2_000:] = [v + 25 for v in values[2_000:]]
    assert any(2_000 <= row < 2_012 for row, _ in alerts(values))


def test_a_day_without_its_season_is_found_that_day() -> None:
    values = days(9)
    values[7 * DAY_ROWS : 8 * DAY_ROWS] = [50.0 + v - 50 for v in values[:72] * 4]
    assert any(7 * DAY_ROWS <= row < 8 * DAY_ROWS for row, _ in alerts(values))


def test_a_usual_shape_at_an_unusual_hour_is_found_that_day() -> None:
    values = days(9)
    values[7 * DAY_ROWS : 8 * DAY_ROWS] = values[5 * DAY_ROWS + 144 : 6 * DAY_ROWS + 144]
    found = [why for row, why in alerts(values) if 7 * DAY_ROWS <= row < 8 * DAY_ROWS]
    assert found


def test_a_shape_is_compared_with_the_same_time_of_other_days_alone() -> None:
    context, off = Context(1), []
    for i in range(4 * DAY_ROWS):
        # The last day runs six hours late: each shape is well known, but not at its time.
        late = i - 72 * (i >= 3 * DAY_ROWS)
        place = 0.5 + 0.4 * math.sin(2 * math.pi * late / DAY_ROWS)
        off.append(context.measure(i * FIVE_MINUTES_S, place))
    assert max(off[2 * DAY_ROWS : 3 * DAY_ROWS]) < 0.2
    assert max(off[3 * DAY_ROWS + 12 :]) > 1.0


def test_louder_noise_and_quieter_noise_are_found_within_some_hours() -> None:
    for loud in (0.1, 4.0):
        noise = random.Random(3)
        values = [noise.gauss(0, loud if i >= 1_500 else 1) for i in range(1_548)]
        assert any(row >= 1_500 for row, _ in alerts(values))


def test_a_long_event_does_not_hide_a_later_one() -> None:
    noise = random.Random(4)
    sums = [noise.expovariate(1) for _ in range(5_000)]
    sums[4_500:4_800] = [20.0 + noise.random() for _ in range(300)]
    calibration, rarity = Calibration(5_000), Rarity(5_000)
    for total in sums:
        calibration.learn(total)
        rarity.learn(total)
    assert rarity.surprise(20.0) < ALERT_SCORE - 1
    assert calibration.learn(20.0) > ALERT_SCORE


def test_a_lasting_change_of_the_sums_is_learned() -> None:
    noise = random.Random(5)
    calibration = Calibration(5_000)
    scores = [calibration.learn(noise.expovariate(1) + 9 * (i >= 2_000)) for i in range(9_000)]
    assert sum(s >= ALERT_SCORE for s in scores[-1_000:]) < 60


def test_a_value_that_stands_still_is_found_and_said() -> None:
    noise = random.Random(2)
    values = [noise.gauss(0, 1) for _ in range(2_300)]
    values[2_000:2_200] = [0.5] * 200
    assert any("stayed the same" in why for row, why in alerts(values) if 2_000 <= row < 2_200)


def test_a_reason_never_says_that_a_value_was_expected() -> None:
    for _, why in alerts([*days(20), *days(1, seed=2)[::-1]]):
        if said := re.match(r"value ([-\d.]+), expected ([-\d.]+) to ([-\d.]+)", why):
            value, low, high = map(float, said.groups())
            assert not low <= value <= high


def test_an_alert_is_told_once() -> None:
    once = AlertOnce()
    told = [row for row in range(1_000) if once.is_alert(row, ALERT_SCORE)]
    assert told == [300, 501, 702, 903]
