"""Show what configuration checks say of hosts: verdicts, how to mend, history."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.agent_checks import checks, history
from api.auth import require
from api.desk import desk_of
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["agents"])
Reader = Annotated[Scope, require("ops:read")]


class CheckView(BaseModel):
    """The latest verdict of one check on one host."""

    agent_id: str
    host: str
    check_uid: str
    is_passed: bool
    severity_id: int = Field(description="OCSF severity: 1 passed, 2 low to 5 critical")
    title: str
    detail: str = Field(description="what was found, if it failed")
    why: str
    fix: str = Field(description="how to mend it, if it failed")
    told_at: datetime
    since: datetime = Field(description="it has said so since then")


class Checks(BaseModel):
    """Verdicts, failed ones first, 1,000 at most."""

    items: list[CheckView]


class Verdict(BaseModel):
    """What a check said at a time."""

    check_uid: str
    is_passed: bool
    severity_id: int
    title: str
    detail: str
    at: datetime


class Verdicts(BaseModel):
    """Verdicts, the newest first, 1,000 at most."""

    items: list[Verdict]


@router.get("/checks", summary="List the latest verdicts of configuration checks")
def listed(
    request: Request,
    scope: Reader,
    agent_id: Annotated[uuid.UUID | None, Query(description="of this agent's host only")] = None,
    failed: Annotated[bool, Query(description="only what failed")] = False,
) -> Checks:
    """Give each host's latest verdict of each check."""
    named = str(agent_id) if agent_id else ""
    found = checks(desk_of(request).database, scope, named, failed)
    return Checks.model_validate({"items": found})


@router.get("/agents/{agent_id}/checks", summary="Show how a host's checks changed")
def changed(
    request: Request,
    scope: Reader,
    agent_id: uuid.UUID,
    check_uid: Annotated[str, Query(max_length=100, description="of one check only")] = "",
) -> Verdicts:
    """Give the verdicts of one host over time."""
    found = history(desk_of(request).database, scope, str(agent_id), check_uid)
    return Verdicts.model_validate({"items": found})
