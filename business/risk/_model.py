"""Weigh claims and money into one score whose parts add up to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Factor = Literal["finding", "signal", "vulnerability", "exposure", "value"]
"""What a part of a risk comes from; `value` is the money behind the entity."""
Band = Literal["critical", "high", "medium", "low", "none"]

WEIGHTS: Final[Mapping[str, int]] = {
    "critical": 100,
    "high": 40,
    "medium": 15,
    "low": 5,
    "informational": 1,
}
"""Points of one fresh claim, by its level."""
HALF_LIFE_DAYS: Final = 7
"""After so many days a claim counts half."""
HALF_LIFE_S: Final = HALF_LIFE_DAYS * 86_400.0
DAYS: Final = 30
"""Older claims do not count; a claim of this age has 5 % of its weight left."""
MOST_OF_RULE: Final = 3.0
"""Claims of one rule count at most as so many fresh ones: noise alone makes no risk."""
BANDS: Final[tuple[tuple[Band, float], ...]] = (
    ("critical", 80.0),
    ("high", 50.0),
    ("medium", 25.0),
    ("low", 0.5),
)
"""From which score an entity is of a band; below the last it is `none`."""
_SCALE: Final = 100.0
_FACTORS: Final[Mapping[str, Factor]] = {"vulnerability": "vulnerability", "exposure": "exposure"}
"""Detectors whose claims are no sign of an attack, and what they are a sign of."""
_LEAST_CENTS: Final = 100_000
_PER_TENFOLD: Final = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """One reason for a risk. `points` add up before bounding, `share` is its part of the score.

    `claims`: how many claims it rests on, 0 for money; `level` is '' for money.
    """

    factor: Factor
    rule_id: str
    title: str
    level: str
    claims: int
    points: float
    share: float
    last_time: datetime | None


@dataclass(frozen=True, slots=True)
class Risk:
    """An entity's risk. `score` is 0 to 100, the sum of its parts' shares; gravest part first."""

    entity_type: str
    entity: str
    score: float
    parts: tuple[Part, ...]

    @property
    def band(self) -> Band:
        """Give the word for the score."""
        return band_of(self.score)


def score_of(points: float) -> float:
    """Bound points to 0 to 100: each point more adds less.

    >>> [round(score_of(p)) for p in (0, 5, 40, 100, 300)]
    [0, 5, 33, 63, 95]
    """
    return 100.0 * (1.0 - math.exp(-max(points, 0.0) / _SCALE))


def band_of(score: float) -> Band:
    """Give the word for a score.

    >>> band_of(63.0), band_of(0.0)
    ('high', 'none')
    """
    return next((band for band, least in BANDS if score >= least), "none")


def points_of(level: str, fresh: float) -> float:
    """Give the points of one rule's claims; `fresh` = how many fresh ones they are worth."""
    return WEIGHTS.get(level, 0) * min(fresh, MOST_OF_RULE)


def value_factor(cents: int) -> float:
    """Give how much more points weigh before money: 1 below 1,000, a fifth more a tenfold, up to 2.

    >>> value_factor(0), value_factor(1_000_000), round(value_factor(10**9), 2)
    (1.0, 1.2, 1.8)
    """
    if cents <= _LEAST_CENTS:
        return 1.0
    return min(2.0, 1.0 + _PER_TENFOLD * math.log10(cents / _LEAST_CENTS))


def risk(
    entity_type: str, entity: str, rows: Sequence[Mapping[str, Any]], cents: int, said: str
) -> Risk:
    """Put an entity's parts together. `rows`: of query `risk_parts`; `cents`: money behind it;
    `said`: that money in words.
    """
    weighed = [(row, points_of(str(row["level"]), float(row["fresh"]))) for row in rows]
    base = sum(points for _, points in weighed)
    more = base * (value_factor(cents) - 1.0)
    score = score_of(base + more)
    per_point = score / (base + more) if base else 0.0
    parts = [_part(row, points, points * per_point) for row, points in weighed if points]
    if more > 0.0:
        title = f"{said} behind it"
        parts.append(Part("value", "", title, "", 0, more, more * per_point, None))
    parts.sort(key=lambda part: (-part.points, part.rule_id))
    return Risk(entity_type, entity, score, tuple(parts))


def _part(row: Mapping[str, Any], points: float, share: float) -> Part:
    usual: Factor = "signal" if row["kind"] == "signal" else "finding"
    return Part(
        _FACTORS.get(str(row["detector"]), usual),
        str(row["rule_id"]),
        str(row["title"]),
        str(row["level"]),
        int(row["claims"]),
        points,
        share,
        row["last_time"],
    )
