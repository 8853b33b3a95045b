"""Read the audit trail for the screen: blocks of rows, one entry whole; nothing writes here."""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from dashboards.read.filters import like
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import select
from storage.errors import NotFound
from storage.tenant import Scope

Row = dict[str, Any]
BLOCK_ROWS: Final = 100
MOST_ROWS: Final = 10_000
QUERY_MS: Final = "10000"
RANGES: Final = {"all": "All time", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
RESULTS: Final = {"": "Any result", "done": "Done", "refused": "Refused", "failed": "Failed"}
_SPAN: Final = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Hold what of the trail is asked for; `entry` is the one whose detail is open."""

    q: str = ""
    area: str = ""
    actor: str = ""
    result: str = ""
    range: str = "all"
    entry: str = ""

    @classmethod
    def read(cls, search: str) -> "AuditFilter":
        """Read it from a URL's query; what is unknown is left out.

        >>> AuditFilter.read("?result=refused&range=never")
        AuditFilter(q='', area='', actor='', result='refused', range='all', entry='')
        """
        try:
            told = parse_qs(search.removeprefix("?")[:4000], max_num_fields=40)
        except ValueError:
            told = {}
        given = {
            f.name: told.get(f.name, [""])[0].replace("\x00", "")[:_LONGEST] for f in fields(cls)
        }
        given["range"] = given["range"] if given["range"] in RANGES else "all"
        given["result"] = given["result"] if given["result"] in RESULTS else ""
        return cls(**given)

    def search(self) -> str:
        """Write it as a URL's query; defaults are left out."""
        usual = AuditFilter()
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        kept = {k: v for k, v in told.items() if v != getattr(usual, k)}
        return f"?{urlencode(kept, safe=',:')}" if kept else ""

    def params(self, now: datetime) -> Row:
        """Give the parameters of the trail's queries."""
        span = _SPAN.get(self.range)
        return {
            "since": now - span if span else None,
            "area": self.area or None,
            "actor": self.actor or None,
            "result": self.result or None,
            "text": like(self.q),
        }


def block(
    database: Database, scope: Scope, wanted: AuditFilter, now: datetime, start: int, end: int
) -> tuple[list[Row], int]:
    """Give the rows from `start` to `end` (at most a block) and how many there are (to a bound)."""
    scope.require("audit:read")
    start = max(0, min(start, MOST_ROWS))
    limit = max(0, min(end - start, BLOCK_ROWS, MOST_ROWS - start))
    params = wanted.params(now)
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        total = int(str(select(tx, "pages_audit_count", **params, most=MOST_ROWS)[0]["entries"]))
        rows = select(tx, "pages_audit", **params, offset=start, limit=limit)
        if start == 0:
            # Who read the trail is in the trail too; once a look, not once a block.
            write_audit(tx, scope, "audit.read", detail={"shown": "page"})
    return rows, total


def entry(database: Database, scope: Scope, entry_id: str) -> Row:
    """Give one entry whole; NotFound when this tenant has none of that id."""
    scope.require("audit:read")
    try:
        known = str(uuid.UUID(entry_id))
    except ValueError:
        raise NotFound("This is not the address of an entry.") from None
    with database.app(scope) as tx:
        rows = select(tx, "pages_audit_entry", entry_id=known)
    if not rows:
        raise NotFound("There is no such entry in the trail.")
    return rows[0]


def choices(database: Database, scope: Scope) -> tuple[list[str], list[str]]:
    """Give the actors and areas of the newest entries."""
    scope.require("audit:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rows = select(tx, "pages_audit_choices")
    return sorted({str(r["actor"]) for r in rows}), sorted({str(r["area"]) for r in rows})
