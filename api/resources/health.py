"""Say whether the house lives, is ready, and how fresh its data are."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from api.auth import require
from api.captures import tell_captures
from api.desk import Desk, desk_of
from api.lag import lag_of, tell_lag
from api.problems import problem
from storage.database.queries import select
from storage.errors import Unavailable
from storage.restarts import in_words, restarting
from storage.telemetry import exposition
from storage.tenant import Scope, system_scope

router: Final = APIRouter(prefix="/v1", tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Status(BaseModel):
    """How the parts are, and how fresh this tenant's data."""

    status: Literal["ok", "degraded"]
    log: bool
    database: bool
    restarting: list[str] = Field(description="processes that die again and again")
    lag_messages: int | None = Field(description="raw messages not yet read by the pipelines")
    sources: int
    events: int
    rejected: int
    last_read_at: datetime | None = Field(description="when something was last read for the tenant")
    now: datetime


@router.get("/health/live", summary="Is the process alive?")
def live() -> Alive:
    """Answer as long as the process can."""
    return Alive(status="ok")


@router.get("/health/ready", summary="Can it do its work?", response_model=Alive)
def ready(request: Request) -> Alive | JSONResponse:
    """Answer 200 when database and event log answer and no process dies again and again.

    Else 503, with the reason; says no more to strangers.
    """
    desk = desk_of(request)
    again = restarting(desk.settings.data_dir, desk.now().timestamp())
    if again:
        return problem(503, f"{in_words(again)}; see the logs of the house")
    if not _log_answers(desk) or not _database_answers(desk):
        raise Unavailable("the database or the event log does not answer")
    return Alive(status="ok")


@router.get("/health/status", summary="Parts, lag and freshness")
def status(request: Request, scope: Annotated[Scope, require()]) -> Status:
    """Give what an operator looks at first; counts are of the caller's tenant."""
    desk = desk_of(request)
    log, database = _log_answers(desk), _database_answers(desk)
    seen: dict[str, object] = {}
    lag: int | None = None
    if database:
        with desk.database.app(scope) as tx:
            seen = select(tx, "sources_freshness")[0]
    if database and log:
        lag = sum(lag_of(desk).values())
    again = restarting(desk.settings.data_dir, desk.now().timestamp())
    is_ok = log and database and not again and (lag or 0) <= desk.settings.lag_limit
    return Status.model_validate(
        {
            "status": "ok" if is_ok else "degraded",
            "log": log,
            "database": database,
            "restarting": list(again),
            "lag_messages": lag,
            "sources": seen.get("sources", 0),
            "events": seen.get("events", 0),
            "rejected": seen.get("rejected", 0),
            "last_read_at": seen.get("updated_at"),
            "now": desk.now(),
        }
    )


@router.get(
    "/metrics", summary="Metrics in Prometheus' text format", response_class=PlainTextResponse
)
def metrics(request: Request, scope: Annotated[Scope, require("ops:read")]) -> PlainTextResponse:
    """Give this process's counters; the lag is brought up to date first.

    Of what is counted by tenant, only the asking one's is shown.
    """
    desk = desk_of(request)
    lag_of(desk)
    tell_lag(desk)
    tell_captures(desk, scope)
    return PlainTextResponse(
        exposition(tenant=scope.tenant_id), media_type="text/plain; version=0.0.4"
    )


def _log_answers(desk: Desk) -> bool:
    try:
        desk.log.topics()
    except Unavailable:
        return False
    return True


def _database_answers(desk: Desk) -> bool:
    try:
        with desk.database.app(system_scope("health", "health")) as tx:
            select(tx, "tenant_is_open")
    except Unavailable:
        return False
    return True
