"""Bring the measures of one series together into one score and its reason."""

from dataclasses import dataclass
from typing import Final

from detectors._series.forecast import Forecast
from detectors._series.pattern import Pattern
from detectors._series.profile import Profile
from detectors._series.rarity import Rarity
from detectors._series.stillness import Silence, Stillness

MEMORY_ROWS: Final = 5_000
"""Rows with which a new one is compared, in every measure."""
STEPS: Final = (1, 4, 8)
"""Shapes of 12, 48 and 96 rows."""
NEW_SHARE: Final = 0.25
"""What the newest row has in the running mean: what lasts is stranger than one odd row."""
BIGGEST: Final = 1e100
"""Values beyond count as this big, so that squares stay finite."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold a row's score (-log p, finite, 0 or more) and the surprise of each measure."""

    score: float
    surprises: tuple[float, ...]


class SeriesScorer:
    """Score the rows of one series in order; a row's score depends on no later row.

    Memory is bounded: about 4 MB a series.
    """

    def __init__(self) -> None:
        self._shapes = [Pattern(step, MEMORY_ROWS) for step in STEPS]
        self._profile = Profile()
        self._forecast = Forecast()
        self._rarities = [Rarity(MEMORY_ROWS) for _ in range(len(STEPS) + 4)]
        self._sum = Rarity(MEMORY_ROWS)
        self._mean = 0.0
        self._stillness = Stillness()
        self._silence = Silence()
        self._value = 0.0

    def score(self, time_s: float, value: float) -> Scored:
        """Score the next row (`time_s` since 1970, a finite value) and learn from it."""
        value = max(-BIGGEST, min(BIGGEST, value))
        measures = (
            *(shape.measure(value) for shape in self._shapes),
            self._profile.measure(time_s, value),
            self._forecast.measure(value),
            self._stillness.measure(value),
            self._silence.measure(time_s),
        )
        surprises = tuple(r.learn(m) for r, m in zip(self._rarities, measures, strict=True))
        self._value = value
        self._mean += (sum(surprises) - self._mean) * NEW_SHARE
        return Scored(self._sum.learn(self._mean), surprises)

    def reason(self, scored: Scored) -> str:
        """Say of the row just scored what was most unusual, and against what."""
        by_surprise = sorted(range(len(scored.surprises)), key=lambda i: -scored.surprises[i])
        # A value inside what was expected explains nothing, however rare its distance is.
        return next(why for i in by_surprise if (why := self._why(i)))

    def _why(self, measure: int) -> str:
        told = f"value {self._value:,.6g}"
        if measure < len(self._shapes):
            shape = self._shapes[measure]
            unlike = f"unlike the {shape.compared:,} before"
            return f"{told}; the last {shape.rows} rows have a shape {unlike}"
        match measure - len(self._shapes):
            case 0:
                span = self._outside(self._profile.expected)
                return span and f"{told}, expected {span} at {self._profile.when}"
            case 1:
                span = self._outside(self._forecast.expected)
                return span and f"{told}, expected {span} after the rows before"
            case 2:
                return f"{told} has stayed the same for {self._stillness.rows:,} rows"
        usual_s = self._silence.usual_s or 0.0
        return f"no row came for {self._silence.gap_s:,.0f} s, usually {usual_s:,.0f} s"

    def _outside(self, expected: tuple[float, float] | None) -> str:
        if expected is None or expected[0] <= self._value <= expected[1]:
            return ""
        return f"{expected[0]:,.4g} to {expected[1]:,.4g}"
