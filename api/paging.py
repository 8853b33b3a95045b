"""Page through lists by cursor: opaque, checked, and never a way to another tenant's rows."""

import base64
import binascii
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

from storage.errors import InvalidInput

Row = TypeVar("Row")
Text = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]
"""A filter: short, without the NUL that PostgreSQL cannot hold."""
Limit = Annotated[int, Query(ge=1, le=500, description="most rows of this page")]
CursorText = Annotated[
    str | None, Query(max_length=200, description="`next` of the page before this one")
]


class Page(BaseModel, Generic[Row]):
    """One page of a list; `next` is null on the last."""

    items: list[Row]
    next: str | None = Field(None, description="cursor of the next page")


def cursor_of(time: datetime, row_id: str) -> str:
    """Give the cursor that continues after this row."""
    place = msgspec.json.encode([int(time.timestamp() * 1_000_000), row_id])
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def read_cursor(text: str | None) -> dict[str, Any]:
    """Give `before` and `before_id` for a page query; InvalidInput for one that is not ours."""
    if not text:
        return {"before": None, "before_id": None}
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        time_us, row_id = msgspec.json.decode(raw, type=tuple[int, str])
        before = datetime.fromtimestamp(time_us / 1_000_000, UTC)
        return {"before": before, "before_id": str(uuid.UUID(row_id))}
    except (binascii.Error, ValueError, msgspec.DecodeError, OverflowError, OSError):
        raise InvalidInput("the cursor is not one of ours; begin without it") from None


def page_of(rows: list[dict[str, Any]], limit: int, time: str, row_id: str) -> dict[str, Any]:
    """Make a page from limit + 1 rows (one more than asked tells whether there is a next)."""
    shown = rows[:limit]
    more = len(rows) > limit
    cursor = cursor_of(shown[-1][time], str(shown[-1][row_id])) if more else None
    return {"items": shown, "next": cursor}
