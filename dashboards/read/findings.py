"""Read findings for the list: rows by block, counts by level and time, choices of the filters."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dashboards.read.filters import FindingFilter
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

BLOCK_ROWS: Final = 100
MOST_ROWS: Final = 10_000
"""How deep the grid scrolls; beyond, narrowing is quicker than scrolling."""
BUCKETS: Final = 48
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
class Overview:
    """Say how many findings the filter lets through, of which level, when."""

    total: int
    everything: int
    newest: datetime | None
    first: datetime | None
    last: datetime | None
    by_level: dict[str, int]
    buckets: tuple[Bucket, ...]


def overview(database: Database, scope: Scope, wanted: FindingFilter) -> Overview:
    """Read the figures and the histogram in one transaction."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        whole = select(tx, "console_finding_span", **FindingFilter().params(None))[0]
        newest = _time(whole["last_time"])
        params = wanted.params(newest)
        span = select(tx, "console_finding_span", **params)[0]
        first, last = _time(span["first_time"]), _time(span["last_time"])
        step_s = _step(first, last)
        rows = select(tx, "console_finding_levels", **params, step_s=step_s)
    by_level: Counter[str] = Counter()
    for row in rows:
        by_level[str(row["level"])] += _int(row["findings"])
    return Overview(
        total=_int(span["findings"]),
        everything=_int(whole["findings"]),
        newest=newest,
        first=first,
        last=last,
        by_level=dict(by_level),
        buckets=_buckets(rows, step_s),
    )


def _step(first: datetime | None, last: datetime | None) -> int:
    span_s = (last - first).total_seconds() if first and last else 0.0
    return next((s for s in _STEPS_S if span_s / s <= BUCKETS), _STEPS_S[-1])


def _buckets(rows: list[dict[str, object]], step_s: int) -> tuple[Bucket, ...]:
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
        for at in range(first, min(last, first + 4 * BUCKETS) + 1)
    )


def block(
    database: Database, scope: Scope, wanted: FindingFilter, start: int, end: int
) -> tuple[list[dict[str, Any]], int]:
    """Give the grid's rows from `start` to `end` (at most a block) and how many there are."""
    scope.require("findings:read")
    start = max(0, min(start, MOST_ROWS))
    limit = max(0, min(end - start, BLOCK_ROWS, MOST_ROWS - start))
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        newest = _time(select(tx, "console_newest_finding")[0]["last_time"])
        params = wanted.params(newest)
        total = _int(select(tx, "console_finding_span", **params)[0]["findings"])
        rows = select(tx, "console_findings", **params, sort=wanted.sort, offset=start, limit=limit)
    return rows, min(total, MOST_ROWS)


def choices(database: Database, scope: Scope) -> dict[str, list[tuple[str, str]]]:
    """Give what the filters offer: (value, words) of detectors, rules and entities."""
    scope.require("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rules = select(tx, "console_finding_rules")
        entities = select(tx, "console_finding_entities")
    detectors = sorted({str(r["detector"]) for r in rules})
    named = {str(e["entity"]): f"{e['entity']} ({e['findings']})" for e in entities}
    titled = {str(r["rule_id"]): f"{r['title']} ({r['findings']})" for r in rules}
    return {
        "detector": [(name, name) for name in detectors],
        "rule": [(rule, words[:120]) for rule, words in titled.items()],
        "entity": [(name, words[:120]) for name, words in named.items()],
    }


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
