"""Tell what the network shows of itself: devices, names, roles, services, who talks to whom."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.auth import require
from api.desk import desk_of
from api.paging import Limit, Text
from storage.database.queries import select
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["topology"])
Kind = Literal["device", "name", "role", "serves", "talks_to"]


class Fact(BaseModel):
    """One fact: `one` has, is, or talks to `other`."""

    kind: Kind
    one: str = Field(description="an address; of a name the hardware address")
    other: str = Field(description="hardware address, name, role, protocol/port, or address")
    first_at: datetime
    last_at: datetime


@router.get("/topology", summary="List facts of the network")
def listed(
    request: Request,
    scope: Annotated[Scope, require("events:read")],
    entity: Annotated[Text, Query(description="an address or name, on either side")] = None,
    kind: Annotated[Kind | None, Query()] = None,
    limit: Limit = 100,
) -> list[Fact]:
    """Give the facts seen latest; what nobody saw for thirty days is let go."""
    with desk_of(request).database.app(scope) as tx:
        rows = select(tx, "topology_list", entity=entity, kind=kind, limit=limit)
    return [Fact.model_validate(row) for row in rows]
