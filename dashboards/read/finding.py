"""Read one finding with what surrounds it: grounds, evidence, processes, time, entities, work."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from business import incidents
from dashboards.read.exposure import Value, held_of, value_of
from dashboards.read.happenings import events_near, facts_near, facts_of, lane_of_claim, merged, us
from dashboards.read.known import Names, names_of
from dashboards.read.names import Key, named_by
from dashboards.read.processes import Process, process_trees
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound
from storage.lake import Lake
from storage.tenant import Scope

Row = dict[str, Any]
SPANS: Final = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
}
MOST_NEAR: Final = 120
MOST_EVIDENCE: Final = 30
MOST_PARTS: Final = 200
MOST_CARDS: Final = 6
WHOLE_EVENTS: Final = 6
"""Events shown with all their columns; the rest in short."""
LONGEST_VALUE: Final = 2000
QUERY_MS: Final = "10000"
_LONG_AGO: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Step:
    """One claim of a story: the claim, where it happened, the event it rests on if known."""

    claim: Row
    lane: str
    event: Row | None


@dataclass(frozen=True, slots=True)
class Around:
    """Hold what befell the entities around the finding. `events` None: the role may not see."""

    span: str
    events: list[Row] | None
    claims: list[Row]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Hold what the page shows beside the finding. `evidence` None: the role may not see events."""

    finding: Row
    keys: list[Key]
    names: Names
    parts: list[Step]
    evidence: list[Row] | None
    similar: list[Row]
    others: list[Row]
    cards: list[Row]
    incident: Row | None


@dataclass(frozen=True, slots=True)
class Depths:
    """Hold what only the lake knows: the steps told in full, who started what, whole events."""

    parts: list[Step]
    trees: list[Process]
    whole: dict[str, dict[str, str]]


def finding(database: Database, scope: Scope, finding_id: str) -> Row:
    """Give the finding; NotFound when this tenant has none of that id."""
    scope.require("findings:read")
    try:
        known = str(uuid.UUID(finding_id))
    except ValueError:
        raise NotFound("This is not the address of a finding.") from None
    with database.app(scope) as tx:
        rows = select(tx, "finding_get", finding_id=known)
        more = select(tx, "investigate_kind", finding_id=known)
    if not rows or not more:
        raise NotFound("There is no such finding. It may have been removed, or the link is cut.")
    return {**rows[0], **more[0]}


def surroundings(database: Database, scope: Scope, finding_id: str) -> Surroundings:
    """Read the finding and what the ledger knows about it; reading events is audited."""
    found = finding(database, scope, finding_id)
    at: datetime = found["time"]
    keys = named_by(found)
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        evidence = None
        if scope.may("events:read"):
            evidence = events_of(tx, found["event_ids"][:MOST_EVIDENCE])
            write_audit(tx, scope, "event.view", found["finding_id"])
        parts = steps(tx, scope, _parts(tx, found["parts"]))
        similar: list[Row] = select(
            tx,
            "investigate_similar",
            rule_id=found["rule_id"],
            finding_id=found["finding_id"],
            at=at,
            limit=6,
        )
        others = _claims(tx, keys[0], at - _LONG_AGO, at + _LONG_AGO, 50)
        cards = [card(tx, key, at) for key in keys[:MOST_CARDS]]
        held: list[Row] = (
            select(tx, "console_incidents_of_finding", finding_id=found["finding_id"])
            if scope.may("incidents:read")
            else []
        )
        told = [*similar, *others, *(step.claim for step in parts)]
        touched = [*keys, *(key for claim in told for key in named_by(claim))]
        names = names_of(tx, scope, touched)
    return Surroundings(
        finding=found,
        keys=keys,
        names=names,
        parts=parts,
        evidence=evidence,
        similar=sorted(similar, key=lambda s: abs(s["time"] - at))[:6],
        others=[o for o in others if o["finding_id"] != found["finding_id"]],
        cards=cards,
        incident=held[0] if held else None,
    )


def depths(database: Database, lake: Lake, scope: Scope, found: Surroundings) -> Depths:
    """Read what the lake adds; slow where the history has many files: see `patience`."""
    claim = found.finding
    whole: dict[str, dict[str, str]] = {}
    if found.evidence is not None:
        whole = whole_events(database, lake, scope, claim["event_ids"], claim["time"])
    return Depths(
        parts=enriched(database, lake, scope, found.parts),
        trees=_trees(database, lake, scope, claim, found.evidence),
        whole=whole,
    )


def money(database: Database, scope: Scope, found: Surroundings) -> tuple[Value, list[Row]]:
    """Give the money behind its entities, its parts' and its incident's; and what is held."""
    keys = [*found.keys, *(k for step in found.parts for k in named_by(step.claim))]
    with database.app(scope) as tx:
        if found.incident is not None:
            held = incidents.entities(scope, tx, found.incident["incident_id"])
            keys += [Key(str(e["entity_type"]), str(e["entity"])) for e in held]
        return value_of(tx, scope, keys), held_of(tx, scope, keys)


def around(database: Database, lake: Lake, scope: Scope, found: Row, span: str) -> Around:
    """Read what befell the finding's entities `span` before and after it (a key of `SPANS`)."""
    span = span if span in SPANS else "15m"
    at, near = found["time"], SPANS[span]
    keys = named_by(found)
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        hot = events_near(tx, keys, at, near, MOST_NEAR) if scope.may("events:read") else None
        claims: dict[str, Row] = {}
        for key in keys[:MOST_CARDS]:
            rows = _claims(tx, key, at - near, at + near, 60)
            claims |= {str(r["finding_id"]): r for r in rows}
    told = None
    if hot is not None:
        facts = facts_near(database, lake, scope, keys, at - near, at + near, MOST_NEAR)
        told = merged(hot, facts)
    shown = sorted(claims.values(), key=lambda c: (c["time"], str(c["finding_id"])))
    is_cut = hot is not None and len(hot) >= MOST_NEAR
    return Around(span, told, [c for c in shown if c["finding_id"] != found["finding_id"]], is_cut)


def _parts(tx: Connection[TupleRow], ids: Sequence[str]) -> list[Row]:
    if not ids:
        return []
    return select(tx, "investigate_parts", finding_ids=list(ids[:MOST_PARTS]), limit=MOST_PARTS)


def steps(tx: Connection[TupleRow], scope: Scope, claims: Sequence[Row]) -> list[Step]:
    """Give each claim with the event it rests on and where that happened."""
    first = {str(c["finding_id"]): str(c["event_ids"][0]) for c in claims if c["event_ids"]}
    events = events_of(tx, list(first.values()))
    known = {str(e["event_id"]): e for e in events}
    may_see = scope.may("events:read")
    told: list[Step] = []
    for claim in claims:
        event = known.get(first.get(str(claim["finding_id"]), ""))
        told.append(Step(claim, lane_of_claim(claim, event), event if may_see else None))
    return told


def enriched(database: Database, lake: Lake, scope: Scope, told: Sequence[Step]) -> list[Step]:
    """Give the same steps; mails and business facts with what the lake says of them beyond."""
    events = [step.event for step in told if step.event is not None]
    if not events or not scope.may("events:read"):
        return list(told)
    facts = facts_of(database, lake, scope, events)
    return [
        replace(step, event={**step.event, **facts.get(str(step.event["event_id"]), {})})
        if step.event is not None
        else step
        for step in told
    ]


def events_of(tx: Connection[TupleRow], event_ids: Sequence[str]) -> list[Row]:
    """Give events of the hot days by id, oldest first."""
    stamped = [(name, _stamp(name)) for name in event_ids]
    known = [(name, at) for name, at in stamped if at is not None]
    if not known:
        return []
    ids, times = [name for name, _ in known], [at for _, at in known]
    return select(tx, "investigate_events_of", event_ids=ids, times=times)


def _claims(
    tx: Connection[TupleRow], key: Key, since: datetime, until: datetime, limit: int
) -> list[Row]:
    told = {"kind": key.kind, **key.asked, "since": since, "until": until, "limit": limit}
    return select(tx, "investigate_entity_findings", **told)


def card(tx: Connection[TupleRow], key: Key, at: datetime) -> Row:
    """Give an entity in a few numbers, over thirty days around a moment."""
    claims = _claims(tx, key, at - _LONG_AGO, at + _LONG_AGO, 500)
    counted: list[Row] = select(
        tx,
        "investigate_counts",
        since=at - _LONG_AGO,
        until=at + timedelta(days=1),
        **key.asked,
    )
    return {
        "key": key,
        "findings": sum(c["kind"] == "finding" for c in claims),
        "signals": sum(c["kind"] == "signal" for c in claims),
        "grave": sum(c["level"] in {"critical", "high"} for c in claims),
        "events": sum(c["events"] for c in counted),
        "first_time": min((c["first_time"] for c in counted), default=None),
        "last_time": max((c["last_time"] for c in counted), default=None),
    }


def _trees(
    database: Database, lake: Lake, scope: Scope, found: Row, evidence: list[Row] | None
) -> list[Process]:
    host = next((k.name for k in named_by(found) if k.kind == "host"), "")
    host = host or next((str(e["hostname"]) for e in evidence or [] if e["hostname"]), "")
    if not host or evidence is None:
        return []
    host = host.partition(".")[0].lower()
    return process_trees(database, lake, scope, host, found["event_ids"], found["time"])


def _stamp(name: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(name.replace("-", "")[:12], 16) / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def whole_events(
    database: Database, lake: Lake, scope: Scope, event_ids: list[str], at: datetime
) -> dict[str, dict[str, str]]:
    """Give event id -> every column the lake holds of it, as text; at most WHOLE_EVENTS events."""
    scope.require("events:read")
    wanted = event_ids[:WHOLE_EVENTS]
    # Never from the first to the last: weeks may lie between, in thousands of files.
    frame = lake.scan_at(database, scope, [us(_stamp(name) or at) for name in wanted])
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
