"""Read what the start page sums up: figures with the period before, what waits, health."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards.read.known import call
from dashboards.read.live import LAG_TOLD, is_silent
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
MOST_NEEDS: Final = 6
_QUERY_MS: Final = "5000"
_DAY_S: Final = 86_400
_DAYS: Final = 14
_YOUNG_S: Final = ((2_400, 60), (12_000, 300), (36_000, 900), (_DAY_S, 3600))
"""(age of the house, step): what is minutes old shows its minutes, not one spike in a day."""
_LEAST_STEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Hours:
    """Count what arrived in the last 24 hours and the 24 before; `trend` is by the step.

    `before` is None where those 24 hours were not watched from their beginning.
    """

    now: int
    before: int | None
    trend: list[float]


@dataclass(frozen=True, slots=True)
class Home:
    """Hold what the page shows; lists are empty and counts None where the role may not see them."""

    incidents: Row | None = None
    incident_trend: list[float] = field(default_factory=list)
    is_first_week: bool = False
    findings: Hours | None = None
    events: Hours | None = None
    sending_trend: list[float] = field(default_factory=list)
    held: list[Row] | None = None
    held_trend: list[float] = field(default_factory=list)
    verdict: Row | None = None
    verdict_trend: list[float] = field(default_factory=list)
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
        age_s = watched["age_s"]
        hour, day = _steps(None if age_s is None else int(str(age_s)))
        made = select(tx, "home_finding_steps", step_s=hour["step_s"])
        told["findings"] = _hours(made, hour, is_watched=bool(watched["findings"]))
        if scope.may("incidents:read"):
            told["incidents"] = select(tx, "home_incidents")[0]
            told["is_first_week"] = told["incidents"]["is_first_week"]
            told["incident_trend"] = _trend(select(tx, "home_incident_steps", **day), day["steps"])
            told["unassigned"] = select(tx, "home_unassigned", limit=MOST_NEEDS)
            call(tx, scope, told["unassigned"])
            told["noisy_rules"] = select(tx, "home_noisy_rules", limit=3)
            told["verdict"] = select(tx, "home_verdict_minutes")[0]
            told["verdict_trend"] = _carried(select(tx, "home_verdict_steps", **day), day["steps"])
        if scope.may("events:read"):
            came = select(tx, "home_event_steps", step_s=hour["step_s"])
            told["events"] = _hours(came, hour, is_watched=bool(watched["events"]))
            told["sending_trend"] = _trend(came, hour["steps"], "sources")
            told["sources"] = select(tx, "live_sources")
            told["silent"] = [s for s in told["sources"] if is_silent(s, now)]
            told["health"] = select(tx, "home_health")[0]
        if scope.may("erp:read"):
            held = told["held"] = select(tx, "home_held")
            currency = held[0]["currency"] if held else "EUR"
            sums = select(tx, "home_held_steps", **day, currency=currency)
            told["held_trend"] = _trend(sums, day["steps"])
            told["held_payments"] = select(tx, "home_held_payments", limit=4)
    return Home(**told)


def _steps(age_s: int | None) -> tuple[dict[str, int], dict[str, int]]:
    """Give the steps of what is shown by the hour and by the day; a young house has finer ones.

    >>> _steps(1200)[1], _steps(10**6)[1]
    ({'step_s': 60, 'steps': 22}, {'step_s': 86400, 'steps': 14})
    """
    for age, step_s in _YOUNG_S:
        if age_s is not None and age_s < age:
            return ({"step_s": step_s, "steps": max(_LEAST_STEPS, age_s // step_s + 2)},) * 2
    return {"step_s": 3600, "steps": 24}, {"step_s": _DAY_S, "steps": _DAYS}


def _hours(rows: list[Any], step: dict[str, int], *, is_watched: bool) -> Hours:
    day = _DAY_S // step["step_s"]
    now = sum(int(r["told"]) for r in rows if r["ago"] < day)
    before = sum(int(r["told"]) for r in rows if r["ago"] >= day)
    return Hours(now, before if is_watched else None, _trend(rows, step["steps"]))


def _trend(rows: list[Any], steps: int, name: str = "told") -> list[float]:
    """Give what was counted in each step, the newest last; a step that is not there had none."""
    held = {int(r["ago"]): float(r[name]) for r in rows}
    return [held.get(ago, 0.0) for ago in range(steps - 1, -1, -1)]


def _carried(rows: list[Any], steps: int) -> list[float]:
    """Give the newest value known at each step, from the first known one on.

    >>> _carried([{"ago": 0, "told": 5.0}, {"ago": 2, "told": 9.0}], 4)
    [9.0, 9.0, 5.0]
    """
    held = {int(r["ago"]): float(r["told"]) for r in rows}
    found: list[float] = []
    for ago in range(steps - 1, -1, -1):
        if ago in held or found:
            found.append(held.get(ago, found[-1] if found else 0.0))
    return found
