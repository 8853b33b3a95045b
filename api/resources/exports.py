"""Take records out of the CRM; every export leaves a fact."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.acting import Stated, acting_of
from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, page_of, read_cursor
from business import crm
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["crm"])
Reader = Annotated[Scope, require("crm:read")]


class ExportView(BaseModel):
    """Who took how many records out, when and for what."""

    export_uid: str
    document_type: crm.DocumentType
    record_count: int
    report: str
    created_by: str
    created_at: datetime


class ExportMade(Stated):
    """What to take out; the same request again gives the same export."""

    document_type: crm.DocumentType = "contacts"
    report: str = Field("", max_length=200, description="for which report")
    export_uid: str = Field("", max_length=100, description="your own id; '' makes one")
    record_count: int | None = Field(
        None, ge=0, le=10**9, description="only with the grant facts:import; else it is counted"
    )


@router.post(
    "/exports",
    summary="Export records",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, scope: Reader, new: ExportMade) -> ExportView:
    """Count the records and tell the fact."""
    made = crm.NewExport(new.document_type, new.report, new.export_uid, new.record_count)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return ExportView.model_validate(crm.export_records(scope, tx, made, by))


@router.get("/exports", summary="List exports, newest first")
def listed(
    request: Request, scope: Reader, cursor: CursorText = None, limit: Limit = 50
) -> Page[ExportView]:
    """Give a page."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = crm.list_exports(scope, tx, limit=limit + 1, **place)
    return Page[ExportView].model_validate(page_of(rows, limit, "created_at", "row_id"))
