"""Show where events come from and how far each origin was read."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from api.auth import require
from api.desk import desk_of
from api.paging import Limit, Text
from storage.database.queries import select
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["sources"])


class SourceView(BaseModel):
    """One origin: a file, an agent, a listener."""

    source: str
    name: str
    log_format: str
    next_position: int
    events: int
    rejected: int
    last_reason: str | None
    updated_at: datetime


class Sources(BaseModel):
    """A page of origins by id; `next` goes into `after`."""

    items: list[SourceView]
    next: str | None


@router.get("/sources", summary="List sources")
def listed(
    request: Request,
    scope: Annotated[Scope, require("events:read")],
    after: Annotated[Text, Query(description="`next` of the page before")] = None,
    limit: Limit = 100,
) -> Sources:
    """Give origins by id, with what was read and refused of each."""
    with desk_of(request).database.app(scope) as tx:
        rows = select(tx, "sources_page", after=after, limit=limit + 1)
    shown = [SourceView.model_validate(r) for r in rows[:limit]]
    return Sources(items=shown, next=shown[-1].source if len(rows) > limit else None)
