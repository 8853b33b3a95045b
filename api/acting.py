"""Say who acts in a command: the one who asks, or whom another system's bridge names."""

from datetime import datetime

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from api.desk import desk_of
from api.versions import read_version
from business._fact import IMPORT, Acting, Claim, acting
from storage.errors import InvalidInput
from storage.tenant import Scope


class Stated(BaseModel):
    """A command's body. The four fields of this part need the grant `facts:import`."""

    model_config = ConfigDict(extra="forbid")
    on_behalf_of: str = Field("", max_length=200, description="account that acted elsewhere")
    occurred_at: datetime | None = Field(None, description="when; an aware time")
    device_uid: str = Field("", max_length=200, description="from which device")
    src_ip: str = Field("", max_length=60, description="from which address")


def acting_of(request: Request, scope: Scope, stated: Stated) -> Acting:
    """Give who acts. NotAllowed where the scope may not speak for others."""
    at = stated.occurred_at
    if at is not None and at.tzinfo is None:
        raise InvalidInput("occurred_at must say its time zone, as in 2026-11-23T09:00:00Z")
    at_us = None if at is None else round(at.timestamp() * 1_000_000)
    claim = Claim(stated.on_behalf_of, at_us, stated.device_uid, stated.src_ip)
    return acting(
        scope,
        claim,
        now_us=desk_of(request).now_us(),
        src_ip=request.client.host if request.client else "",
        trace_id=str(request.scope.get("state", {}).get("trace_id", "")),
    )


def version_of(if_match: str | None, scope: Scope) -> int | None:
    """Read If-Match; only a bridge that tells what happened elsewhere may leave it out (None)."""
    if if_match is None and scope.may(IMPORT) and scope.actor.kind != "user":
        return None
    return read_version(if_match)
