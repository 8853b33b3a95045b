"""Reckon how an entity's risk came to be, day by day, from when its claims befell it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from business._event import Transaction
from business.risk._model import (
    DAYS,
    HALF_LIFE_S,
    MOST_OF_RULE,
    WEIGHTS,
    score_of,
    value_factor,
)
from storage.database.queries import select
from storage.schema.entity import canonical
from storage.tenant import Scope

_TOUCHED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Day:
    """The score at one moment of a history."""

    at: datetime
    score: float


def history(
    scope: Scope,
    tx: Transaction,
    entity_type: str,
    entity: str,
    at: datetime,
    cents: int = 0,
    days: int = DAYS,
) -> list[Day]:
    """Give an entity's score at `at` and at the same hour of each day before, oldest first.

    The last one is what `risk_of` gives. `cents`: money behind it today: the books of old days are
    not asked. Verdicts given since count in the past too. Needs `findings:read`.
    """
    scope.require("findings:read")
    kind, name = canonical(entity_type, entity)
    since = at - timedelta(days=DAYS + days)
    rows = select(tx, "risk_moments", kind=kind, name=name, since=since, at=at)
    moments = [at - timedelta(days=back) for back in reversed(range(days))]
    points = _points(rows, moments) * value_factor(cents)
    return [Day(m, score_of(float(p))) for m, p in zip(moments, points, strict=True)]


def _points(rows: list[dict[str, Any]], moments: list[datetime]) -> np.ndarray[Any, Any]:
    """Give the points at each moment: claims x moments, then summed and bounded rule by rule."""
    total = np.zeros(len(moments))
    if not rows:
        return total
    ends = np.array([m.timestamp() for m in moments])
    times = np.array([row["time"].timestamp() for row in rows])
    worth = np.array([1.0 if row["is_own"] else _TOUCHED for row in rows])
    age_s = ends[None, :] - times[:, None]
    counts = (age_s >= 0.0) & (age_s < DAYS * 86_400.0)
    fresh = np.where(counts, worth[:, None] * 0.5 ** (np.maximum(age_s, 0.0) / HALF_LIFE_S), 0.0)
    rules: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows):
        rules.setdefault((str(row["rule_id"]), str(row["level"])), []).append(place)
    for (_, level), places in rules.items():
        total += WEIGHTS.get(level, 0) * np.minimum(fresh[places].sum(axis=0), MOST_OF_RULE)
    return total
