"""Lend agents their releases, hear how updates ended, and stop a release that does harm.

The folder `agent-releases` in the data folder is what a plain web server could serve as well: an
announcement that is signed elsewhere, and packages. This adds the certificate, and the stop.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import structlog
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from psycopg import Connection
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.auth.gate import require
from api.desk import Desk, desk_of
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import NotFound
from storage.plain import one_line
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1/agents/updates", tags=["agents"])
FOLDER: Final = "agent-releases"
ANNOUNCED: Final = "release.json"
HOUSE: Final = "house"
LEAST_FAILED: Final = 2
MOST_SHARE: Final = 0.1
"""Failed of ended updates in a tenant: over it, from two failures on, its agents get it no more."""
STOPS_ALL: Final = 2
"""Tenants in which a release was stopped: then it is stopped in all of them."""
LONGEST_REASON: Final = 500
_LOG: Final = structlog.get_logger("agents")
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$"
_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"


class Ended(BaseModel):
    """How an update ended on a host."""

    model_config = ConfigDict(extra="forbid")
    outcome: Literal["updated", "rolled_back", "failed", "refused"]
    version: str = Field(max_length=40, pattern=_LINE)
    serial: int = Field(ge=0, lt=2**62)
    reason: str

    @field_validator("reason", mode="before")
    @classmethod
    def _plain(cls, said: object) -> str:
        return one_line(said)[:LONGEST_REASON]


@router.get("/{name}", summary="An announcement or a package", response_class=Response)
def given(
    request: Request,
    scope: Annotated[Scope, require()],
    name: Annotated[str, InPath(pattern=_NAME)],
) -> Response:
    """Give the file; 204 where nothing is announced, or what is announced is stopped."""
    desk = desk_of(request)
    place = desk.settings.data_dir / FOLDER / name
    if name != ANNOUNCED:
        if not place.is_file():
            raise NotFound(f"{name} is not there")
        return FileResponse(place, media_type="application/octet-stream")
    content = announced(desk.settings.data_dir)
    if content is None or _is_stopped(desk.database, scope, serial_in(content)):
        return Response(status_code=204)
    with desk.database.app(scope) as tx:
        serial = serial_in(content)
        execute(tx, "agent_update_offered", agent_id=scope.actor.name, serial=serial)
    return Response(content, media_type="application/json")


@router.post("", summary="How an update ended", status_code=204)
def ended(request: Request, scope: Annotated[Scope, require()], told: Ended) -> None:
    """Keep it, and stop the release for this tenant if too many of its updates fail."""
    tell_ended(desk_of(request), scope, told)


def tell_ended(desk: Desk, scope: Scope, told: Ended) -> None:
    """Keep how an update ended; audited, as is the stop that it may lead to.

    Once for each release that this agent was given or that is announced; else it changes nothing.
    """
    row = told.model_dump()
    content = announced(desk.settings.data_dir)
    with desk.database.app(scope) as tx:
        key = _news(tx, scope, told, serial_in(content) if content else 0)
        if key is None:
            _LOG.info("agent_update_left_out", agent=scope.actor.name, serial=told.serial)
            return
        words = {"agent_id": scope.actor.name, "now": desk.now(), "key": key}
        execute(tx, "agent_update_told", **words, **row)
        write_audit(tx, scope, "agent.update", scope.actor.name, detail=dict(row))
        (counts,) = select(tx, "agent_updates_ended", serial=told.serial)
        failed, all_ = int(str(counts["failed"])), int(str(counts["ended"]))
    if failed < LEAST_FAILED or failed <= all_ * MOST_SHARE:
        return
    why = f"{failed} of {all_} updates to {told.version} failed"
    stop = {"serial": told.serial, "origin": origin(scope.tenant_id), "reason": why}
    with desk.database.owner() as tx:  # stops are of no tenant
        is_new = execute(tx, "agent_release_stop", **stop)
    if is_new:
        _LOG.warning("agent_release_stopped", tenant=scope.tenant_id, **stop)
        with desk.database.app(scope) as tx:
            write_audit(tx, scope, "agent.release-stop", told.version, detail=dict(stop))


def _news(tx: Connection[TupleRow], scope: Scope, told: Ended, now: int) -> int | None:
    """Give under which number this is kept as told, None if it was told or is of no release here.

    What refuses a release does not believe its serial, and is kept under what is announced (`now`).
    """
    (agent,) = select(tx, "agent_update_standing", agent_id=scope.actor.name)
    given, heard = (set(cast("list[int]", agent[name])) for name in ("given", "heard"))
    known, key = given | {now}, told.serial
    if told.outcome == "refused":
        known, key = known | {told.serial}, -now
    is_news = bool(key) and told.serial in known and key not in heard
    return key if is_news else None


def origin(tenant_id: str) -> str:
    """Give what stands for a tenant where all tenants read."""
    return hashlib.sha256(f"stop/{tenant_id}".encode()).hexdigest()[:32]


def _is_stopped(database: Database, scope: Scope, serial: int) -> bool:
    with database.owner() as tx:
        found = {str(row["origin"]) for row in select(tx, "agent_release_stops_of", serial=serial)}
    return bool(found & {HOUSE, origin(scope.tenant_id)}) or len(found) >= STOPS_ALL


def announced(data: Path) -> bytes | None:
    """Give the announcement that lies in the house's folder, None if there is none."""
    try:
        return (data / FOLDER / ANNOUNCED).read_bytes()
    except FileNotFoundError:
        return None


def serial_in(content: bytes) -> int:
    """Give the announcement's serial, 0 if it says none; whoever installs it looks at the rest.

    >>> serial_in(json.dumps({"signed": json.dumps({"serial": 7})}).encode()), serial_in(b"x")
    (7, 0)
    """
    try:
        return int(json.loads(json.loads(content)["signed"])["serial"])
    except (ValueError, KeyError, TypeError):
        return 0
