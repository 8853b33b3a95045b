"""Search the hot days' events: bounded in time, filtered, page by page."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel

from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from storage.audit import write_audit
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["events"])
LONGEST_SPAN: Final = timedelta(days=366)
USUAL_SPAN: Final = timedelta(days=1)
SEARCH_MS: Final = 15_000


class EventView(BaseModel):
    """One event in its narrow form; every other column is in the lake."""

    event_id: str
    time: datetime
    class_uid: int
    activity_id: int | None
    severity_id: int | None
    log_format: str | None
    product: str | None
    event_code: str | None
    source: str | None
    position: int | None
    hostname: str | None
    actor_user: str | None
    user_name: str | None
    process_path: str | None
    cmd_line: str | None
    parent_path: str | None
    file_path: str | None
    src_ip: str | None
    src_port: int | None
    dst_ip: str | None
    dst_port: int | None
    query_hostname: str | None
    document_uid: str | None
    vendor_uid: str | None
    amount_cents: int | None
    message: str | None


@router.get("/events", summary="Search events, newest first")
def search(
    request: Request,
    scope: Annotated[Scope, require("events:read")],
    since: Annotated[AwareDatetime | None, Query(description="default: a day before until")] = None,
    until: Annotated[AwareDatetime | None, Query(description="default: now")] = None,
    host: Text = None,
    user: Annotated[Text, Query(description="account that acted or was acted upon")] = None,
    ip: Annotated[Text, Query(description="source or destination")] = None,
    class_uid: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    text: Annotated[
        Text, Query(description="anywhere in paths, command line, name, message")
    ] = None,
    cursor: CursorText = None,
    limit: Limit = 100,
) -> Page[EventView]:
    """Give a page of what happened in [since, until), at most 366 days; ends after 15 s."""
    desk = desk_of(request)
    try:
        end = until or desk.now() + timedelta(minutes=10)
        begin = since or end - USUAL_SPAN
    except OverflowError:
        raise InvalidInput("the time range is not one") from None
    if not timedelta(0) < end - begin <= LONGEST_SPAN:
        raise InvalidInput(f"the range must end after it begins, within {LONGEST_SPAN.days} days")
    filters: dict[str, Any] = {"host": host, "user": user, "ip": ip, "class_uid": class_uid}
    with desk.database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=str(SEARCH_MS))
        rows = select(
            tx,
            "events_page",
            since=begin,
            until=end,
            **filters,
            text=like(text),
            limit=limit + 1,
            **read_cursor(cursor),
        )
        asked = {k: v for k, v in (*filters.items(), ("text", text)) if v is not None}
        write_audit(tx, scope, "event.search", detail={**asked, "since": begin, "until": end})
    return Page[EventView].model_validate(page_of(rows, limit, "time", "event_id"))


def like(text: str | None) -> str | None:
    r"""Give the LIKE pattern for 'contains this text', its own wildcards made harmless.

    >>> like("50%_x")
    '%50\\%\\_x%'
    """
    if not text:
        return None
    safe = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{safe}%"
