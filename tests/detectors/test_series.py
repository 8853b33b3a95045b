import math
import random
import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors._series import ALERT_SCORE, AlertOnce, Scored, SeriesScorer

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
    assert alerts([float(i % 12) for i in range(5_000)]) == []
    assert len(alerts(days(14))) <= 14


def test_a_spike_is_found_at_its_row() -> None:
    values = days(8)
    values[2_000] += 60
    assert re.match(r"value 1\d\d\.\d+, expected [\d.]+ to \d\d\.", dict(alerts(values))[2_000])


def test_a_new_level_is_found_within_an_hour() -> None:
    values = days(8)
    values[2_000:] = [v + 25 for v in values[2_000:]]
    assert any(2_000 <= row < 2_012 for row, _ in alerts(values))


def test_a_day_without_its_season_is_found_that_day() -> None:
    values = days(9)
    values[7 * DAY_ROWS : 8 * DAY_ROWS] = [50.0 + v - 50 for v in values[:72] * 4]
    assert any(7 * DAY_ROWS <= row < 8 * DAY_ROWS for row, _ in alerts(values))


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
