"""Say how long the tenant keeps what of which class."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from storage.retention import (
    EVERY_CLASS,
    LONGEST_DAYS,
    defaults,
    policies,
    set_policy,
    unset_policy,
)
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["retention"])
Reader = Annotated[Scope, require("ops:read")]
Operator = Annotated[Scope, require("tenants:write")]
Kind = Literal["events", "minutes", "hours", "days", "lake"]


class PolicyView(BaseModel):
    """One policy; class_uid 0 stands for every class that has none of its own."""

    kind: str
    class_uid: int
    keep_days: int = Field(description="days, 0 = for good")
    set_by: str
    set_at: datetime


class Retention(BaseModel):
    """The tenant's own policies, and what counts where it has none."""

    items: list[PolicyView]
    defaults: dict[str, int]


class NewPolicy(BaseModel):
    """A policy to set."""

    model_config = ConfigDict(extra="forbid")
    keep_days: int = Field(ge=0, le=LONGEST_DAYS, description="days, 0 = for good")
    class_uid: int = Field(EVERY_CLASS, ge=0, lt=1 << 31)


@router.get("/retention", summary="List what is kept how long")
def listed(request: Request, scope: Reader) -> Retention:
    """Give the policies of the caller's tenant and the settings above them."""
    desk = desk_of(request)
    found = policies(desk.database, scope)
    return Retention.model_validate(
        {"items": found, "defaults": defaults(desk.settings)}, from_attributes=True
    )


@router.put("/retention/{kind}", summary="Say how long something is kept", status_code=204)
def put(request: Request, scope: Operator, kind: Kind, new: NewPolicy) -> None:
    """Set a policy; what is older is forgotten by the keeper within ten minutes, for good."""
    set_policy(desk_of(request).database, scope, kind, new.keep_days, new.class_uid)


@router.delete("/retention/{kind}/{class_uid}", summary="Take a policy away", status_code=204)
def delete(request: Request, scope: Operator, kind: Kind, class_uid: int) -> None:
    """Take a policy away, so that what stands above it counts."""
    unset_policy(desk_of(request).database, scope, kind, class_uid)
