"""Make exceptions from findings: what would it take out, then keep it."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from api import exceptions
from api.auth import require
from api.desk import desk_of
from storage import rules
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["rules"])
Reader = Annotated[Scope, require("findings:read")]
Writer = Annotated[Scope, require(rules.GRANT)]
FindingId = Annotated[str, Path(max_length=40)]
Kind = Annotated[str, Field(max_length=40)]
Name = Annotated[str, Field(max_length=2048)]


class Conditions(BaseModel):
    """What an event must show to be no finding any more: (kind, name) of what the finding names."""

    model_config = ConfigDict(extra="forbid")
    conditions: list[tuple[Kind, Name]] = Field(min_length=1, max_length=exceptions.MOST)


class NewException(Conditions):
    """An exception to keep."""

    why: str = Field(min_length=1, max_length=exceptions.LONGEST_WHY)
    days: int | None = Field(None, ge=1, le=3660, description="how long it counts; null: for good")


class Suggestion(BaseModel):
    """What may be asked for, and what is proposed."""

    conditions: list[tuple[str, str]]
    proposed: list[tuple[str, str]]


class EffectView(BaseModel):
    """What it would have taken out of the last 30 days; `right`: judged true by people."""

    removed: int
    of: int
    right: int
    by_level: list[tuple[str, int]]


class ExceptionSaved(BaseModel):
    """The id of the filter that was kept; it is a rule of the tenant's own."""

    rule_id: str


@router.get("/findings/{finding_id}/exception", summary="Propose an exception from a finding")
def suggest(request: Request, scope: Reader, finding_id: FindingId) -> Suggestion:
    """Give the things that the finding names."""
    with desk_of(request).database.app(scope) as tx:
        pairs = exceptions.conditions_of(exceptions.finding_for(tx, finding_id))
    return Suggestion(conditions=pairs, proposed=exceptions.proposed(pairs))


@router.post("/findings/{finding_id}/exception/effect", summary="Count what it would take out")
def effect(request: Request, scope: Reader, finding_id: FindingId, asked: Conditions) -> EffectView:
    """Count over the last thirty days; nothing is kept."""
    desk = desk_of(request)
    with desk.database.app(scope) as tx:
        finding = exceptions.finding_for(tx, finding_id)
        told = exceptions.effect_of(scope, tx, finding, asked.conditions, desk.now())
    return EffectView(removed=told.removed, of=told.of, right=told.right, by_level=[*told.by_level])


@router.post("/findings/{finding_id}/exception", summary="Keep an exception", status_code=201)
def save(
    request: Request, scope: Writer, finding_id: FindingId, new: NewException
) -> ExceptionSaved:
    """Keep it as a filter of the tenant's own."""
    desk = desk_of(request)
    until = None if new.days is None else desk.now() + timedelta(days=new.days)
    with desk.database.app(scope) as tx:
        finding = exceptions.finding_for(tx, finding_id)
        made = exceptions.save_exception(
            scope, tx, desk.settings, finding, new.conditions, new.why, until
        )
    return ExceptionSaved(rule_id=made)
