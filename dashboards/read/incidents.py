"""Read incidents for the queue and for one of them."""

import uuid
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from business import incidents
from dashboards.read.filters import like
from dashboards.ui.marks import LEVELS, STATUS
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound
from storage.tenant import Scope

BLOCK_ROWS: Final = 100
MOST_ROWS: Final = 10_000
QUERY_MS: Final = "10000"
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

    @classmethod
    def read(cls, search: str) -> "IncidentFilter":
        """Read them from a URL's query; what is unknown is left out.

        >>> IncidentFilter.read("?status=closed&who=them")
        IncidentFilter(status='closed', level='', who='', q='', sort='latest')
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
    is_last = len(rows) <= limit or start + limit >= MOST_ROWS
    return rows[:limit], start + min(len(rows), limit) if is_last else None


def one(database: Database, scope: Scope, incident_id: str) -> tuple[Row, list[Row]]:
    """Give the incident and its newest findings; NotFound when this tenant has none of that id."""
    scope.require("incidents:read")
    try:
        known = str(uuid.UUID(incident_id))
    except ValueError:
        raise NotFound("This is not the address of an incident.") from None
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = incidents.get(scope, tx, known)
        rows = select(tx, "incident_findings_of", incident_id=known, limit=500)
    return found, rows
