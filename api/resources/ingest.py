"""Take raw records in: durable in the event log before the answer 202."""

import re
import time
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from api.agent_streams import check_ahead, take
from api.auth import require
from api.auth.agents import check_sender, tell_refusal
from api.body import cut, decompress, most_records
from api.desk import Desk, desk_of
from api.lag import check_lag
from api.problems import trace_of
from storage import telemetry
from storage.errors import InopsioError, InvalidInput, Overloaded
from storage.identity import new_id
from storage.log import Record
from storage.tenant import Scope
from storage.wire import HEADER, RAW

router: Final = APIRouter(prefix="/v1", tags=["ingest"])
TOPIC: Final = "raw.events"
_TENANT_WORDS: Final = ("tenant", "tenant_id")
_TENANT_FIELD: Final = re.compile(rb'"tenant_id"\s{0,8}:\s{0,8}"([a-z0-9-]{1,63})"')
_WORD: Final = r"^[A-Za-z0-9._:@/+=-]*$"

Format = Annotated[
    str | None,
    Query(max_length=40, pattern=r"^[a-z0-9_.-]*$", description="parser; found by content if none"),
]
OWN_SOURCES: Final = ("file:", "api:", "retry:", "business:", "house:", "signals/")
"""Beginnings of the house's own source names: who could use one could hide that source's events."""

Source = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=_WORD,
        description="stable id of the origin; with `position`, a re-send is recognised and dropped",
    ),
]
Position = Annotated[
    int | None,
    Query(ge=0, le=2**61, description="number of the body's first record within the source"),
]
# Neither control characters (C1 too: terminals obey them) nor what turns the reading direction.
_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
Name = Annotated[
    str | None,
    Query(max_length=300, pattern=_LINE, description="file or listener, for people"),
]


class Accepted(BaseModel):
    """What was taken: durable, not yet parsed."""

    source: str
    position: int = Field(description="of the first record")
    next_position: int = Field(description="send the next records of this source from here")
    messages: int
    size_bytes: int = Field(description="after decompression")


@router.post(
    "/ingest",
    summary="Send raw records",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "Records as their source wrote them; Content-Encoding gzip or zstd.",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def post(
    request: Request,
    scope: Annotated[Scope, require("events:write")],
    format: Format = None,
    source: Source = None,
    position: Position = None,
    name: Name = None,
) -> Accepted:
    """Append the body to the log, tenant and actor taken from the token only.

    NDJSON or any format a parser knows. Without `source`, each request is an origin of its own.
    `position` counts lines of text formats from 0; without it a source starts at 0, so a source
    that sends more than once must say it. 413 over the limits of size or ratio, 429 when the
    pipelines lag behind or the tenant is over its quota of bytes a second.
    """
    if source is not None and source.startswith(OWN_SOURCES):
        raise InvalidInput(f"source {source[:80]!r} is a name the house gives itself; take another")
    if position is not None and source is None:
        raise InvalidInput("'position' needs 'source': a place in what?")
    desk = desk_of(request)
    named = {n: v for n in _TENANT_WORDS if (v := _said(request, n)) is not None}
    encoding = request.headers.get("content-encoding", "")
    place = {
        "tenant": scope.tenant_id,
        "source": source or f"api:{new_id(time.time_ns() // 1000)}",
        "format": format or "auto",
        "name": name or f"api:{scope.actor.name}",
        "trace_id": trace_of(request),
        HEADER: RAW,
    }
    with desk.room.held(scope.tenant_id, _most_bytes(request, desk.settings.ingest_max_bytes)):
        body = await request.body()
        return await run_in_threadpool(
            _append, desk, (scope, named), body, encoding, place, position or 0
        )


def _most_bytes(request: Request, limit: int) -> int:
    """Say how many bytes the body can become: what it claims, if it is neither open nor packed."""
    claimed = request.headers.get("content-length")
    if claimed is None or request.headers.get("content-encoding"):
        return limit
    return int(claimed)  # digits, and within the limit: the door has looked


def _take(desk: Desk, tenant_id: str, size_bytes: int) -> None:
    try:
        desk.quotas.take(tenant_id, size_bytes, desk.now_us())
    except Overloaded:
        telemetry.count("inopsio_tenant_refused_total", tenant=tenant_id)
        raise


def _said(request: Request, name: str) -> str | None:
    return request.query_params.get(name) or request.headers.get(f"x-{name.replace('_', '-')}")


def _tell_forged(desk: Desk, scope: Scope, plain: bytes) -> None:
    """Write down that records name another tenant; the parsers take the credential's alone."""
    own = scope.tenant_id.encode()
    other = next((m[1] for m in _TENANT_FIELD.finditer(plain) if m[1] != own), None)
    if other is not None:
        told: dict[str, object] = {"reason": "tenant overruled", "named": other.decode()}
        tell_refusal(desk, scope, "events.forged-tenant", scope.actor.name, told)


def _append(
    desk: Desk,
    sender: tuple[Scope, dict[str, str]],
    body: bytes,
    encoding: str,
    place: dict[str, str],
    start: int,
) -> Accepted:
    """Keep the body. `sender`: who sends, and what tenants the request names."""
    scope, named = sender
    try:
        check_sender(desk, scope, place["source"], named)
        is_agent = scope.actor.kind == "agent"
        if is_agent:
            check_ahead(desk, scope, place["source"], start)
        check_lag(desk)
        limits = desk.settings.ingest_max_bytes, desk.settings.ingest_max_ratio
        plain = decompress(body, encoding, *limits)
        if not plain.strip():
            raise InvalidInput("the body is empty")
        _take(desk, place["tenant"], len(plain))
        _tell_forged(desk, scope, plain)
        key = f"{place['tenant']}/{place['source']}".encode()
        pieces = list(cut(plain))
        desk.log.append(
            TOPIC,
            [Record(key, piece, {**place, "position": str(start + n)}) for n, piece in pieces],
        )
        if is_agent:
            take(desk, scope, place["source"], start, plain)
    except InopsioError:
        telemetry.count("inopsio_ingest_refused_total")
        raise
    telemetry.count("inopsio_ingest_bytes_total", len(plain))
    telemetry.count("inopsio_tenant_ingest_bytes_total", len(plain), tenant=place["tenant"])
    last_n, last = pieces[-1]
    return Accepted(
        source=place["source"],
        position=start,
        next_position=start + last_n + most_records(last),
        messages=len(pieces),
        size_bytes=len(plain),
    )
