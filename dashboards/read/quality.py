"""Read how good each detector is: volume, precision, false alarms asked and made, drift."""

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboards.read.detectors import detectors
from dashboards.read.newest import end_of
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

DAYS: Final = 28
WEEK: Final = 7
QUERY_MS: Final = "10000"
ASKED_OF_ALL: Final = 5.0
"""False findings a day per 1,000 entities that the house as a whole may make."""
_SURE: Final = 0.01
"""How unlikely a week's volume must be, at the rate of the three before, to be called drift."""
_Z95: Final = 1.959964
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Quality:
    """Say how good one detector is over `DAYS` days.

    `by_day`: findings a day, oldest first; `right`, `wrong`, `benign`: judged incidents that its
    findings are in; `asked`: false findings a day per 1,000 entities it promises, None = nothing;
    `days`: how long the house has seen events, at most `DAYS`.
    """

    name: str
    title: str
    by_day: tuple[int, ...]
    signals: int
    right: int
    wrong: int
    benign: int
    entities: int
    asked: float | None
    days: float = float(DAYS)

    @property
    def findings(self) -> int:
        """Give the findings of all days."""
        return sum(self.by_day)

    @property
    def judged(self) -> int:
        """Give how many incidents were judged."""
        return self.right + self.wrong + self.benign

    @property
    def precision(self) -> tuple[float, float, float] | None:
        """Give precision with its 95 % interval (Wilson); None before the first verdict."""
        return wilson(self.right, self.judged) if self.judged else None

    @property
    def realised(self) -> float | None:
        """Give false findings a day per 1,000 entities; None where no entity is known.

        Findings are false in the share of verdicts that say so; before any verdict all count, so
        that nothing looks better than it is.
        """
        if not self.entities:
            return None
        share = (self.wrong + self.benign) / self.judged if self.judged else 1.0
        return self.findings * share / self.days / self.entities * 1000.0

    @property
    def drift(self) -> str:
        """Give 'rises', 'falls' or '' for the volume of the last week against the three before.

        Nothing is said of a house that is younger than those four weeks.
        """
        if self.days < DAYS:
            return ""
        week = sum(self.by_day[-WEEK:])
        return drift_of(week, self.findings - week)


def wilson(right: int, judged: int) -> tuple[float, float, float]:
    """Give a share with its 95 % interval (Wilson's score interval).

    >>> tuple(round(x, 2) for x in wilson(8, 10))
    (0.8, 0.49, 0.94)
    """
    share, z2 = right / judged, _Z95**2
    middle = (share + z2 / (2 * judged)) / (1 + z2 / judged)
    half = _Z95 / (1 + z2 / judged) * math.sqrt(share * (1 - share) / judged + z2 / (4 * judged**2))
    # Rounding must not put the share itself outside.
    return share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def drift_of(week: int, before: int) -> str:
    """Compare a week's count with the three weeks before it, as Poisson rates (exact binomial).

    >>> drift_of(20, 15), drift_of(5, 15), drift_of(0, 40)
    ('rises', '', 'falls')
    """
    total = week + before
    if not total:
        return ""
    at_least = sum(_binomial(k, total) for k in range(week, total + 1))
    at_most = sum(_binomial(k, total) for k in range(week + 1))
    if at_least < _SURE:
        return "rises"
    return "falls" if at_most < _SURE else ""


def _binomial(k: int, n: int) -> float:
    share = WEEK / DAYS
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(share) + (n - k) * math.log(1 - share))


def days_since(first: datetime | None, at: datetime) -> float:
    """Give how many days of events there are, 1 to `DAYS`."""
    if first is None:
        return 1.0
    return min(max((at - first).total_seconds() / 86_400.0, 1.0), float(DAYS))


def qualities(database: Database, scope: Scope, now: datetime) -> list[Quality]:
    """Give every detector that exists or claimed something, the loudest first."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        at = end_of(tx, now)
        days = select(tx, "quality_days", at=at, days=DAYS)
        verdicts = select(tx, "quality_verdicts", at=at, days=DAYS)
        seen: Row = select(tx, "quality_entities", at=at)[0]
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * DAYS)
    signals: dict[str, int] = defaultdict(int)
    for row in days:
        back = min(max(int(str(row["back"])), 0), DAYS - 1)
        counts[str(row["detector"])][DAYS - 1 - back] += int(str(row["findings"]))
        signals[str(row["detector"])] += int(str(row["signals"]))
    judged = {str(row["detector"]): row for row in verdicts}
    told = detectors()
    found = []
    for name in {*told, *counts}:
        verdict: Row = judged.get(name, {})
        known = told.get(name)
        found.append(
            Quality(
                name,
                known.title if known else name.replace("_", " ").capitalize(),
                tuple(counts[name]) if name in counts else (0,) * DAYS,
                signals[name],
                int(verdict.get("right_ones", 0)),
                int(verdict.get("wrong_ones", 0)),
                int(verdict.get("benign_ones", 0)),
                int(seen["entities"]),
                known.asked if known else None,
                days_since(seen["first_time"], at),
            )
        )
    return sorted(found, key=lambda q: (-q.findings, -q.signals, q.title))
