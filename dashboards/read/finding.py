"""Read one finding with what surrounds it: evidence, timeline, entity, incident."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound
from storage.lake import Lake
from storage.tenant import Scope

Row = dict[str, Any]
NEAR: Final = timedelta(minutes=15)
MOST_NEAR: Final = 200
MOST_EVIDENCE: Final = 100
WHOLE_EVENTS: Final = 10
"""Events shown with all their columns; the rest in short."""
LONGEST_VALUE: Final = 4000
QUERY_MS: Final = "10000"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Hold what the page shows beside the finding. `events` None: the role may not see events."""

    finding: Row
    evidence: list[Row] | None
    near: list[Row] | None
    others: list[Row]
    entity: Row
    entity_events: Row
    incident: Row | None


def finding(database: Database, scope: Scope, finding_id: str) -> Row:
    """Give the finding; NotFound when this tenant has none of that id."""
    scope.require("findings:read")
    try:
        known = str(uuid.UUID(finding_id))
    except ValueError:
        raise NotFound("This is not the address of a finding.") from None
    with database.app(scope) as tx:
        rows = select(tx, "finding_get", finding_id=known)
    if not rows:
        raise NotFound("There is no such finding. It may have been removed, or the link is cut.")
    return rows[0]


def surroundings(database: Database, scope: Scope, finding_id: str) -> Surroundings:
    """Read the finding and everything about it in one transaction; reading events is audited."""
    found = finding(database, scope, finding_id)
    group = {"entity_type": found["entity_type"], "entity": found["entity"]}
    at: datetime = found["time"]
    may_see = scope.may("events:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        since, until = event_span(found["event_ids"], at)
        evidence = near = None
        if may_see:
            evidence = select(
                tx,
                "console_events_of_ids",
                event_ids=found["event_ids"],
                since=since,
                until=until,
                limit=MOST_EVIDENCE,
            )
            near = select(
                tx,
                "console_events_near",
                **group,
                time=at,
                since=at - NEAR,
                until=at + NEAR,
                limit=MOST_NEAR,
            )
            write_audit(tx, scope, "event.view", found["finding_id"])
        others = select(
            tx,
            "console_entity_other_findings",
            **group,
            finding_id=found["finding_id"],
            time=at,
            limit=50,
        )
        entity = select(tx, "console_entity_findings", **group)[0]
        entity_events = select(tx, "console_entity_events", **group)[0]
        incidents = (
            select(tx, "console_incidents_of_finding", finding_id=found["finding_id"])
            if scope.may("incidents:read")
            else []
        )
    return Surroundings(
        finding=found,
        evidence=evidence,
        near=sorted(near, key=lambda e: str(e["time"])) if near is not None else None,
        others=others,
        entity=entity,
        entity_events=entity_events,
        incident=incidents[0] if incidents else None,
    )


def event_span(event_ids: list[str], at: datetime) -> tuple[datetime, datetime]:
    """Give the time that holds the events: their ids begin with their milliseconds.

    >>> from datetime import datetime, UTC
    >>> event_span(["0163d5a9-0f00-8000-8000-000000000000"], datetime.now(UTC))[0].year
    2018
    """
    stamps = [int(name.replace("-", "")[:12], 16) for name in event_ids]
    if not stamps:
        return at, at + timedelta(milliseconds=1)
    first, last = min(stamps), max(stamps)
    try:
        edges = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (first, last)]
    except (OverflowError, OSError, ValueError):
        return at - NEAR, at + NEAR
    return edges[0] - timedelta(milliseconds=2), edges[1] + timedelta(milliseconds=2)


def whole_events(
    database: Database, lake: Lake, scope: Scope, event_ids: list[str], at: datetime
) -> dict[str, dict[str, str]]:
    """Give event id -> every column the lake holds of it, as text; at most WHOLE_EVENTS events."""
    scope.require("events:read")
    wanted = event_ids[:WHOLE_EVENTS]
    since, until = event_span(wanted, at)
    frame = lake.scan(database, scope, _us(since), _us(until))
    try:
        found = frame.filter(pl.col("event_id").is_in(wanted)).head(WHOLE_EVENTS).collect()
    except (pl.exceptions.PolarsError, OSError):
        return {}  # a file that compaction has just replaced; the short form is shown instead
    return {str(row["event_id"]): _texts(row) for row in found.to_dicts()}


def _texts(row: Row) -> dict[str, str]:
    return {
        name: _text(value)
        for name, value in row.items()
        if value is not None and name != "tenant_id"
    }


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _us(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1_000_000))
