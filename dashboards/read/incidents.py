"""Read incidents for the board, the list, and one of them with its story."""

import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from psycopg import Connection
from psycopg.rows import TupleRow

from business import incidents
from dashboards.read.exposure import Value, held_of, value_of
from dashboards.read.filters import like
from dashboards.read.finding import Step, enriched, steps
from dashboards.read.known import Names, call, names_of
from dashboards.read.names import KINDS, Key, named_by
from dashboards.read.patience import AT_ONCE_S, within
from dashboards.ui.marks import LEVELS, STATUS
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound, Unavailable
from storage.lake import Lake
from storage.tenant import Scope

BLOCK_ROWS: Final = 100
MOST_ROWS: Final = 10_000
QUERY_MS: Final = "10000"
BOARD_CARDS: Final = 30
MOST_STEPS: Final = 400
MOST_ENTITIES: Final = 60
MOST_BACK: Final = 2000
"""Findings, and notes, that undoing a merge moves back."""
VIEWS: Final = {"board": "Board", "list": "List"}
SORTS: Final = {"latest": "Latest first", "level": "Gravest first"}
WHO: Final = {"": "Anybody", "me": "Mine", "none": "Nobody's"}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Hold which incidents are asked for; the defaults ask for the open ones."""

    status: str = "open"
    level: str = ""
    who: str = ""
    q: str = ""
    sort: str = "latest"
    view: str = "board"

    @classmethod
    def read(cls, search: str) -> "IncidentFilter":
        """Read them from a URL's query; what is unknown is left out.

        >>> IncidentFilter.read("?status=closed&who=them")
        IncidentFilter(status='closed', level='', who='', q='', sort='latest', view='board')
        """
        try:
            told = parse_qs(search.removeprefix("?"), max_num_fields=40)
        except ValueError:
            told = {}
        given = {k: v[0].replace("\x00", "")[:300] for k, v in told.items()}
        status, level = given.get("status", "open"), given.get("level", "")
        who, sort = given.get("who", ""), given.get("sort", "latest")
        return cls(
            status=status if status in {*STATUS, "all"} else "open",
            level=level if level in LEVELS else "",
            who=who if who in WHO else "",
            q=given.get("q", ""),
            sort=sort if sort in SORTS else "latest",
            view="list" if given.get("view") == "list" else "board",
        )

    def search(self) -> str:
        """Write them as a URL's query; defaults are left out."""
        usual = IncidentFilter()
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {k: v for k, v in told.items() if v != getattr(usual, k)}
        return f"?{urlencode(kept)}" if kept else ""

    def but(self, **changes: str) -> "IncidentFilter":
        """Give the same with these changed."""
        return replace(self, **changes)

    def params(self, scope: Scope) -> Row:
        """Give the parameters of the console's incident query."""
        whose = {"": None, "me": scope.actor.name, "none": ""}[self.who]
        return {
            "status": None if self.status == "all" else self.status,
            "levels": [self.level] if self.level else None,
            "assignee": whose,
            "text": like(self.q),
            "sort": self.sort,
        }


def counts(database: Database, scope: Scope) -> dict[str, Row]:
    """Give status -> how many, how many of them grave, how many nobody's."""
    scope.require("incidents:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rows = select(tx, "console_incident_counts")
    nothing = {"incidents": 0, "grave": 0, "unassigned": 0}
    return {s: next((r for r in rows if r["status"] == s), dict(nothing)) for s in STATUS}


def block(
    database: Database, scope: Scope, wanted: IncidentFilter, start: int, end: int
) -> tuple[list[Row], int | None]:
    """Give rows from `start` to `end`, and how many there are once the end is known."""
    scope.require("incidents:read")
    start = max(0, min(start, MOST_ROWS))
    limit = max(0, min(end - start, BLOCK_ROWS, MOST_ROWS - start))
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rows = select(
            tx, "console_incidents", **wanted.params(scope), offset=start, limit=limit + 1
        )
        call(tx, scope, rows)
    is_last = len(rows) <= limit or start + limit >= MOST_ROWS
    return rows[:limit], start + min(len(rows), limit) if is_last else None


@dataclass(frozen=True, slots=True)
class Column:
    """Hold one column of the board: its first cards and how many there are."""

    status: str
    total: int
    cards: list[Row]


def board(database: Database, scope: Scope, wanted: IncidentFilter) -> list[Column]:
    """Give the columns of the board, each card with the entities its claims are about."""
    scope.require("incidents:read")
    params = {k: v for k, v in wanted.params(scope).items() if k != "status"}
    columns: list[Column] = []
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        totals = {
            str(r["status"]): int(str(r["incidents"]))
            for r in select(
                tx, "investigate_board_counts", **{k: v for k, v in params.items() if k != "sort"}
            )
        }
        for status in STATUS:
            rows: list[Row] = select(
                tx, "investigate_board", **params, status=status, limit=BOARD_CARDS
            )
            call(tx, scope, rows)
            columns.append(Column(status, totals.get(status, 0), rows))
        ids = [c["incident_id"] for column in columns for c in column.cards]
        held = select(tx, "investigate_board_entities", incident_ids=ids, limit=60) if ids else []
        keys: dict[str, list[Key]] = {}
        for row in held:
            keys.setdefault(str(row["incident_id"]), []).extend(named_by(row))
        for column in columns:
            for card in column.cards:
                told = Counter(k for k in keys.get(card["incident_id"], []) if k.kind in KINDS)
                card["keys"] = [key for key, _ in told.most_common()]
                card["value"] = value_of(tx, scope, card["keys"])
    return columns


@dataclass(frozen=True, slots=True)
class Detail:
    """Hold one incident: its story oldest first, whom it is about, what people did."""

    incident: Row
    steps: list[Step]
    keys: list[Row]
    activity: list[Row]
    value: Value
    held: list[Row]
    names: Names


def one(database: Database, lake: Lake, scope: Scope, incident_id: str) -> Detail:
    """Give the incident with its story; NotFound when this tenant has none of that id."""
    scope.require("incidents:read")
    known = incident_uuid(incident_id)
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = incidents.get(scope, tx, known)
        claims = select(tx, "investigate_story", incident_id=known, limit=MOST_STEPS)
        claimed = steps(tx, scope, claims)
        keys: list[Row] = incidents.entities(scope, tx, known, MOST_ENTITIES)
        since = found["opened_at"]
        activity = select(tx, "investigate_activity", object=known, since=since, limit=100)
        named = [Key(str(k["entity_type"]), str(k["entity"])) for k in keys]
        value, held = value_of(tx, scope, named), held_of(tx, scope, named)
        touched = [*named, *(key for claim in claims for key in named_by(claim))]
        names = names_of(tx, scope, touched)
    told = claimed
    with suppress(Unavailable):  # the ledger's short words stand until the page is opened again
        told = within(AT_ONCE_S, lambda: enriched(database, lake, scope, claimed))
    return Detail(found, told, keys, activity, value, held, names)


def incident_uuid(incident_id: str) -> str:
    """Give the id in its one form; NotFound when it is none."""
    try:
        return str(uuid.UUID(incident_id))
    except ValueError:
        raise NotFound("This is not the address of an incident.") from None


def others_open(database: Database, scope: Scope, incident_id: str) -> list[Row]:
    """Give incidents that this one could be merged into, latest first."""
    wanted = IncidentFilter(status="all")
    rows, _ = block(database, scope, wanted, 0, BLOCK_ROWS)
    return [r for r in rows if r["incident_id"] != incident_id and r["status"] != "closed"]


def held_by(tx: Connection[TupleRow], scope: Scope, incident_id: str) -> dict[str, list[str]]:
    """Give ids of the findings and notes that the incident holds: what undoing a merge needs."""
    claims = incidents.timeline(scope, tx, incident_id, MOST_BACK)
    notes = select(tx, "incident_notes_of", incident_id=incident_id, limit=MOST_BACK)
    return {
        "findings": [str(c["finding_id"]) for c in claims],
        "notes": [str(n["note_id"]) for n in notes],
    }
