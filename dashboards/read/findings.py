"""Read the queue of findings: counts by level and time, one page of groups or of claims, views."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dashboards.read.filters import FindingFilter
from dashboards.read.known import call
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
PAGE_ROWS: Final = 50
BUCKETS: Final = 60
QUERY_MS: Final = "10000"
_STEPS_S: Final = (60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Count the findings of one step of time by level."""

    since: datetime
    until: datetime
    by_level: dict[str, int]

    @property
    def total(self) -> int:
        """Give the count of all levels."""
        return sum(self.by_level.values())


@dataclass(frozen=True, slots=True)
class Queue:
    """Hold what the page shows: counts of what the filter lets through, and one page of rows.

    `arrived`: when the newest finding came in, ISO; `has_any`: whether the tenant has any claim.
    """

    has_any: bool
    arrived: str
    newest: datetime | None
    by_level: dict[str, int]
    buckets: tuple[Bucket, ...]
    rows: list[Row]
    has_more: bool

    @property
    def total(self) -> int:
        """Give how many claims the filter lets through."""
        return sum(self.by_level.values())


def queue(database: Database, scope: Scope, wanted: FindingFilter) -> Queue:
    """Read it in one transaction: two looks into indexes, one count, one page."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        edges = select(tx, "queue_edges")[0]
        newest, arrived = _time(edges["newest"]), _time(edges["arrived"])
        params = wanted.params(newest)
        span = select(tx, "queue_span", since=params["since"], until=params["until"])[0]
        step_s = _step(_time(span["first_time"]), _time(span["last_time"]))
        counts = select(tx, "queue_counts", **params, step_s=step_s)
        rows = select(
            tx,
            "queue_groups" if wanted.shape == "grouped" else "queue_rows",
            **params,
            sort=wanted.sort,
            offset=wanted.page * PAGE_ROWS,
            limit=PAGE_ROWS + 1,
        )
        call(tx, scope, rows)
    by_level: Counter[str] = Counter()
    for row in counts:
        by_level[str(row["level"])] += _int(row["findings"])
    return Queue(
        has_any=bool(edges["has_any"]),
        arrived=arrived.isoformat() if arrived else "",
        newest=newest,
        by_level=dict(by_level),
        buckets=_buckets(counts, step_s),
        rows=rows[:PAGE_ROWS],
        has_more=len(rows) > PAGE_ROWS,
    )


def _step(first: datetime | None, last: datetime | None) -> int:
    span_s = (last - first).total_seconds() if first and last else 0.0
    return next((s for s in _STEPS_S if span_s / s <= BUCKETS), _STEPS_S[-1])


def _buckets(rows: list[Row], step_s: int) -> tuple[Bucket, ...]:
    if not rows:
        return ()
    held: dict[int, dict[str, int]] = {}
    for row in rows:
        held.setdefault(_int(row["bucket"]), {})[str(row["level"])] = _int(row["findings"])
    first, last = min(held), max(held)
    start = datetime(1970, 1, 1, tzinfo=UTC)
    step = timedelta(seconds=step_s)
    return tuple(
        Bucket(start + step * at, start + step * (at + 1), held.get(at, {}))
        for at in range(first, min(last, first + 3 * BUCKETS) + 1)
    )


def rules(database: Database, scope: Scope, kind: str) -> list[tuple[str, str]]:
    """Give (rule id, words) of the rules that claimed most lately."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = select(tx, "queue_rules", kind=kind)
    return [(str(r["rule_id"]), f"{str(r['title'])[:100]} ({r['findings']})") for r in found]


def views(database: Database, scope: Scope, page: str) -> list[tuple[str, str]]:
    """Give (name, query of the address) of the views that this person keeps of a page."""
    with database.app(scope) as tx:
        return [(str(r["name"]), str(r["search"])) for r in select(tx, "saved_views", page=page)]


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
