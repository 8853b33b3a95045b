"""Read the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from storage.audit import write_audit
from storage.database.queries import select
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["audit"])


class AuditEntry(BaseModel):
    """Who did what to which object, when, and how it ended."""

    entry_id: str
    at: datetime
    actor: str
    action: str
    object: str
    result: str
    detail: dict[str, Any]


@router.get("/audit", summary="List audit entries, newest first")
def listed(
    request: Request,
    scope: Annotated[Scope, require("audit:read")],
    action: Text = None,
    actor: Text = None,
    cursor: CursorText = None,
    limit: Limit = 100,
) -> Page[AuditEntry]:
    """Give a page of the tenant's trail; that it was read is an entry too."""
    with desk_of(request).database.app(scope) as tx:
        where = read_cursor(cursor)
        rows = select(tx, "audit_page", action=action, actor=actor, limit=limit + 1, **where)
        write_audit(tx, scope, "audit.read")
    return Page[AuditEntry].model_validate(page_of(rows, limit, "at", "entry_id"))
