"""Run a user's SELECT over the tenant's lake, shut in and bounded."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from storage.audit import write_audit
from storage.errors import Unavailable
from storage.lake.hunt import HuntLimits
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["hunts"])
USUAL: Final = HuntLimits()


class Hunt(BaseModel):
    """A question to the lake."""

    model_config = ConfigDict(extra="forbid")
    sql: str = Field(
        min_length=1,
        max_length=20_000,
        pattern=r"^[^\x00]*$",
        description="one SELECT over the view `events`",
        examples=["SELECT class_uid, count(*) FROM events GROUP BY ALL"],
    )
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    rows: int = Field(1000, ge=1, le=USUAL.rows, description="most rows of the answer")


class HuntResult(BaseModel):
    """The answer; `truncated` says in words what was cut, '' if nothing."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: str
    files: int
    elapsed_ms: int
    is_sandboxed: bool


@router.post("/hunts", summary="Hunt in the lake by SQL")
def post(request: Request, scope: Annotated[Scope, require("hunt:run")], hunt: Hunt) -> HuntResult:
    """Run the query in a process of its own that sees this tenant's files and nothing else.

    422 says what is wrong with the query, or which limit it passed.
    """
    desk = desk_of(request)
    if desk.lake is None:
        raise Unavailable("this process has no lake")
    limits = HuntLimits(
        rows=hunt.rows,
        since_us=_us(hunt.since, USUAL.since_us),
        until_us=_us(hunt.until, USUAL.until_us),
    )
    with desk.database.app(scope) as tx:
        write_audit(tx, scope, "hunt.run", detail={"sql": hunt.sql[:2000]})
    found = desk.lake.hunt(desk.database, scope, hunt.sql, limits)
    return HuntResult(
        columns=list(found.columns),
        types=list(found.types),
        rows=[list(row) for row in found.rows],
        truncated=found.truncated,
        files=found.files,
        elapsed_ms=found.elapsed_ms,
        is_sandboxed=found.is_sandboxed,
    )


def _us(moment: datetime | None, usual: int) -> int:
    return usual if moment is None else int(moment.timestamp() * 1_000_000)
