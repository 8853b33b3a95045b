"""Bring the measures of one series together into one score and its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from detectors._series.calibration import Calibration
from detectors._series.context import Context
from detectors._series.forecast import Forecast
from detectors._series.ordered import Ordered
from detectors._series.pattern import Pattern
from detectors._series.profile import Profile
from detectors._series.rarity import Rarity
from detectors._series.spread import Spread
from detectors._series.stillness import Silence, Stillness

MEMORY_ROWS: Final = 5_000
"""Rows with which a new one is compared, in every measure."""
STEPS: Final = (1, 4, 8)
"""Shapes of 12, 48 and 96 rows."""
CONTEXT_STEPS: Final = (1, 4)
"""Shapes of 12 and 48 rows, against the same time of other days."""
VALUE_ROWS: Final = 48
CHANGE_ROWS: Final = 24
NEW_SHARE: Final = 0.25
"""What the newest row has in the running mean: what lasts is stranger than one odd row."""
VAGUE: Final = 0.8
"""What a reason weighs that names no number to be expected: others are told before it."""
BIGGEST: Final = 1e100
"""Values beyond count as this big, so that squares stay finite."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold a row's score (-log p, finite, 0 or more) and the surprise of each measure."""

    score: float
    surprises: tuple[float, ...]


class SeriesScorer:
    """Score the rows of one series in order; a row's score depends on no later row.

    Memory is bounded: about 6 MB a series.
    """

    def __init__(self) -> None:
        self._shapes = [Pattern(step, MEMORY_ROWS) for step in STEPS]
        self._contexts = [Context(step) for step in CONTEXT_STEPS]
        self._profile, self._forecast = Profile(), Forecast()
        self._values, self._changes = Ordered(MEMORY_ROWS), Ordered(MEMORY_ROWS)
        self._lying, self._moving = Spread(VALUE_ROWS), Spread(CHANGE_ROWS)
        self._stillness, self._silence = Stillness(), Silence()
        self._rarities = [Rarity(MEMORY_ROWS) for _ in range(len(STEPS) + len(CONTEXT_STEPS) + 6)]
        self._sum = Calibration(MEMORY_ROWS)
        self._mean = 0.0
        self._value = 0.0
        self._before: float | None = None

    def score(self, time_s: float, value: float) -> Scored:
        """Score the next row (`time_s` since 1970, a finite value) and learn from it."""
        value = max(-BIGGEST, min(BIGGEST, value))
        measures = self._measures(time_s, value)
        surprises = tuple(r.learn(m) for r, m in zip(self._rarities, measures, strict=True))
        self._value = self._before = value
        self._mean += (sum(surprises) - self._mean) * NEW_SHARE
        return Scored(self._sum.learn(self._mean), surprises)

    def _measures(self, time_s: float, value: float) -> tuple[float, ...]:
        place = _learn_place(self._values, value)
        before = value if self._before is None else self._before
        change = _learn_place(self._changes, abs(value - before))
        return (
            *(shape.measure(value) for shape in self._shapes),
            *(context.measure(time_s, place) for context in self._contexts),
            self._profile.measure(time_s, value),
            self._forecast.measure(value),
            self._lying.measure(place),
            self._moving.measure(change),
            self._stillness.measure(value),
            self._silence.measure(time_s),
        )

    def reason(self, scored: Scored) -> str:
        """Say of the row just scored what was most unusual, and against what."""
        whys = zip(self._whys(), scored.surprises, strict=True)
        # A value inside what was expected explains nothing, however rare its distance is.
        told = max(((s * weight, why) for (weight, why), s in whys if why), key=lambda w: w[0])
        return f"value {self._value:,.6g}{told[1]}"

    def _whys(self) -> Iterator[tuple[float, str]]:
        """Give what each measure has to say, in their order: its weight, and nothing or a text."""
        for shape in self._shapes:
            unlike = f"unlike the {shape.compared:,} before"
            yield VAGUE, f"; the last {shape.rows} rows have a shape {unlike}"
        for context in self._contexts:
            yield VAGUE, f"; the last {context.rows} rows are unlike this time of other days"
        span = self._outside(self._profile.expected)
        yield 1.0, span and f"{span} at {self._profile.when}"
        span = self._outside(self._forecast.expected)
        yield 1.0, span and f"{span} after the rows before"
        yield VAGUE, f"; the last {VALUE_ROWS} values are {self._lying.leans} than before"
        steps = f"; the last {CHANGE_ROWS} steps from row to row are {self._moving.leans}"
        yield VAGUE, f"{steps} than before"
        yield 1.0, f" has stayed the same for {self._stillness.rows:,} rows"
        usual_s = self._silence.usual_s or 0.0
        yield 1.0, f"; no row came for {self._silence.gap_s:,.0f} s, usually {usual_s:,.0f} s"

    def _outside(self, expected: tuple[float, float] | None) -> str:
        if expected is None or expected[0] <= (self._value) <= expected[1]:
            return ""
        return f", expected {expected[0]:,.4g} to {expected[1]:,.4g}"


def _learn_place(ordered: Ordered, number: float) -> float:
    place = ordered.place(number)
    ordered.add(number)
    return place
