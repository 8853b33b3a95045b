"""Show what the detectors claim, with their reasons."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel

from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from storage.database.queries import select
from storage.errors import NotFound
from storage.schema.finding import Level
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["findings"])
Reader = Annotated[Scope, require("findings:read")]


class FindingView(BaseModel):
    """One claim: which detector, about whom, how grave, on which events, why."""

    finding_id: str
    time: datetime
    detector: str
    detector_version: str
    rule_id: str
    title: str
    level: Level
    entity_type: str
    entity: str
    event_ids: list[str]
    event_count: int
    reasons: list[dict[str, Any]]
    attack: list[str]
    links: list[Any]
    created_at: datetime


@router.get("/findings", summary="List findings, newest first")
def listed(
    request: Request,
    scope: Reader,
    since: Annotated[AwareDatetime | None, Query()] = None,
    until: Annotated[AwareDatetime | None, Query()] = None,
    level: Annotated[Level | None, Query()] = None,
    detector: Text = None,
    rule_id: Text = None,
    entity_type: Text = None,
    entity: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[FindingView]:
    """Give a page; filters are exact and combine by 'and'."""
    with desk_of(request).database.app(scope) as tx:
        rows = select(
            tx,
            "findings_page",
            since=since,
            until=until,
            level=level,
            detector=detector,
            rule_id=rule_id,
            entity_type=entity_type,
            entity=entity,
            limit=limit + 1,
            **read_cursor(cursor),
        )
    return Page[FindingView].model_validate(page_of(rows, limit, "time", "finding_id"))


@router.get("/findings/{finding_id}", summary="Get one finding")
def get(request: Request, scope: Reader, finding_id: uuid.UUID) -> FindingView:
    """Give the finding; another tenant's is not found."""
    with desk_of(request).database.app(scope) as tx:
        rows = select(tx, "finding_get", finding_id=str(finding_id))
    if not rows:
        raise NotFound(f"finding {finding_id} is not there")
    return FindingView.model_validate(rows[0])
