"""Read what the start page sums up: figures with the period before, what waits, health."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards.read.live import LAG_TOLD, is_silent
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
MOST_NEEDS: Final = 6
_QUERY_MS: Final = "5000"
_DAY_H: Final = 24


@dataclass(frozen=True, slots=True)
class Hours:
    """Count what arrived in the last 24 hours and the 24 before; `trend` is by the hour.

    `before` is None where those 24 hours were not watched from their beginning.
    """

    now: int
    before: int | None
    trend: list[int]


@dataclass(frozen=True, slots=True)
class Home:
    """Hold what the page shows; lists are empty and counts None where the role may not see them."""

    incidents: Row | None = None
    incident_days: list[int] = field(default_factory=list)
    is_first_week: bool = False
    findings: Hours | None = None
    events: Hours | None = None
    held: list[Row] | None = None
    verdict: Row | None = None
    sources: list[Row] = field(default_factory=list)
    silent: list[Row] = field(default_factory=list)
    unassigned: list[Row] = field(default_factory=list)
    held_payments: list[Row] = field(default_factory=list)
    noisy_rules: list[Row] = field(default_factory=list)
    health: Row = field(default_factory=dict)

    @property
    def behind(self) -> timedelta | None:
        """Give how far the newest events lie behind their own arrival, where that is worth a word.

        Replayed logs and a demo that catches up are behind; freshness is told by arrival.
        """
        last, newest = self.health.get("last_arrival"), self.health.get("newest")
        lag = last - newest if last and newest else timedelta(0)
        return lag if lag > LAG_TOLD else None

    @property
    def is_bare(self) -> bool:
        """Answer whether nothing has happened in this house yet."""
        total = self.health.get("events") or 0
        seen = sum(self.findings.trend) if self.findings else 0
        return (
            not total and not seen and not self.sources and not (self.incidents or {}).get("open")
        )


def home(database: Database, scope: Scope, now: datetime) -> Home:
    """Read the parts that the scope may see, in one transaction."""
    scope.require("findings:read")
    told: Row = {}
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=_QUERY_MS)
        watched = select(tx, "home_watched")[0]
        told["findings"] = _hours(select(tx, "home_finding_hours"), "findings", watched)
        if scope.may("incidents:read"):
            told["incidents"] = select(tx, "home_incidents")[0]
            told["is_first_week"] = told["incidents"]["is_first_week"]
            told["incident_days"] = [r["incidents"] for r in select(tx, "home_incident_days")]
            told["unassigned"] = select(tx, "home_unassigned", limit=MOST_NEEDS)
            told["noisy_rules"] = select(tx, "home_noisy_rules", limit=3)
            told["verdict"] = select(tx, "home_verdict_minutes")[0]
        if scope.may("events:read"):
            told["events"] = _hours(select(tx, "home_event_hours"), "events", watched)
            told["sources"] = select(tx, "live_sources")
            told["silent"] = [s for s in told["sources"] if is_silent(s, now)]
            told["health"] = select(tx, "home_health")[0]
        if scope.may("erp:read"):
            told["held"] = select(tx, "home_held")
            told["held_payments"] = select(tx, "home_held_payments", limit=4)
    return Home(**told)


def _hours(rows: list[Any], name: str, watched: Row) -> Hours:
    held = {int(r["ago"]): int(r[name]) for r in rows}
    trend = [held.get(ago, 0) for ago in range(_DAY_H - 1, -1, -1)]
    before = sum(held.get(ago, 0) for ago in range(_DAY_H, 2 * _DAY_H))
    return Hours(sum(trend), before if watched[name] else None, trend)
