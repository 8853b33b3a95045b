"""Search everything that has a page: entities, incidents, findings; a few hits of each."""

from dataclasses import dataclass
from typing import Final

from dashboards.read.filters import like
from dashboards.read.names import key_of
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

MOST: Final = 6
_MOST_LETTERS: Final = 120
_QUERY_MS: Final = "3000"


@dataclass(frozen=True, slots=True)
class Found:
    """One hit: what kind of thing, its name, what is said beside it, an icon, and where it is."""

    kind: str
    title: str
    detail: str
    mark: str
    href: str


def search(database: Database, scope: Scope, text: str) -> list[Found]:
    """Give hits of what the scope may see, entities first; texts are cut at 120 letters."""
    sought = like(text.replace("\x00", "")[:_MOST_LETTERS])
    found: list[Found] = []
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=_QUERY_MS)
        if scope.may("findings:read"):
            for row in select(tx, "search_entities", text=sought, limit=MOST):
                kind, name = str(row["entity_type"]), str(row["entity"])
                found.append(Found("Entities", name, kind, "entity", key_of(kind, name).path))
        if scope.may("incidents:read"):
            for row in select(tx, "search_incidents", text=sought, limit=MOST):
                path = f"/incident/{row['incident_id']}"
                detail = f"{row['level']}, {str(row['status']).replace('_', ' ')}"
                found.append(Found("Incidents", str(row["title"]), detail, "incidents", path))
        if scope.may("findings:read"):
            for row in select(tx, "search_findings", text=sought, limit=MOST):
                path = f"/finding/{row['finding_id']}"
                entity = str(row["entity"])
                found.append(Found("Findings", str(row["title"]), entity, "findings", path))
    return found
