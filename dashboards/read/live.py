"""Read what the live page shows: rates by source, freshness, newest findings, techniques."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dashboards.read.known import call
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
SPANS: Final = {"10m": "10 minutes", "1h": "1 hour", "24h": "24 hours"}
_STEP: Final = {
    "10m": (timedelta(minutes=10), 10, 10),
    "1h": (timedelta(hours=1), 60, 60),
    "24h": (timedelta(hours=24), 60, 900),
}
MOST_SHOWN: Final = 7
SILENT_AFTER: Final = timedelta(minutes=15)
LAG_TOLD: Final = timedelta(minutes=15)
"""Events whose own time lies further behind their arrival are told to be behind the clock."""
NEWEST: Final = 40
_QUERY_MS: Final = "5000"


@dataclass(frozen=True, slots=True)
class Rates:
    """Hold events per second by source, one value a step; `starts` name the steps."""

    starts: list[datetime]
    step_s: int
    by_source: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Live:
    """Hold all that the page shows at one moment; None or empty where the role may not see it."""

    rates: Rates | None
    sources: list[Row]
    findings: list[Row]
    techniques: dict[str, int]


def live(database: Database, scope: Scope, span: str, now: datetime, is_whole: bool = True) -> Live:
    """Read the page's parts in one transaction; not `is_whole`: only rates and findings.

    Techniques are those of the newest 24 h of claims.
    """
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=_QUERY_MS)
        rates: Rates | None = None
        sources: list[Row] = []
        if scope.may("events:read"):
            length, kept_s, step_s = _STEP[span if span in _STEP else "10m"]
            rows = select(
                tx, "live_rates", bucket_s=kept_s, since=now - length - timedelta(seconds=step_s)
            )
            rates = rates_of(rows, now, length, step_s)
            sources = select(tx, "live_sources") if is_whole else []
        findings = select(tx, "live_findings", limit=NEWEST)
        call(tx, scope, findings)
        claimed: list[Row] = select(tx, "live_techniques", hours=24) if is_whole else []
    return Live(rates, sources, findings, {r["technique"]: r["claims"] for r in claimed})


def rates_of(rows: list[Row], now: datetime, length: timedelta, step_s: int) -> Rates:
    """Turn counts into events per second by source; the smallest sources are added up."""
    end = int(now.timestamp()) // step_s * step_s
    begin = end - int(length.total_seconds()) // step_s * step_s
    steps = (end - begin) // step_s
    zone = now.tzinfo
    starts = [datetime.fromtimestamp(begin + i * step_s, zone) for i in range(steps)]
    found: dict[str, list[float]] = {}
    for row in rows:
        at = (int(row["bucket"].timestamp()) - begin) // step_s
        if 0 <= at < steps:
            found.setdefault(row["source"], [0.0] * steps)[at] += row["events"] / step_s
    ranked = sorted(found.items(), key=lambda told: (-sum(told[1]), told[0]))
    shown = dict(ranked[:MOST_SHOWN])
    if len(ranked) > MOST_SHOWN:
        rest = [values for _, values in ranked[MOST_SHOWN:]]
        shown["others"] = [sum(column) for column in zip(*rest, strict=True)]
    return Rates(starts, step_s, shown)


def is_silent(source: Row, now: datetime) -> bool:
    """Answer whether a source that sent within the day has sent nothing for 15 minutes."""
    return bool(source["last_bucket"] < now - SILENT_AFTER)


def lag_of(sources: list[Row]) -> timedelta | None:
    """Give how far the newest events lie behind their arrival, where that is worth a word.

    >>> lag_of([]) is None
    True
    """
    last = max((s["last_bucket"] for s in sources), default=None)
    newest = max((s["newest"] for s in sources), default=None)
    lag = last - newest if last and newest else timedelta(0)
    return lag if lag > LAG_TOLD else None
