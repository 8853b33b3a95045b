"""Keep the hosts that are enrolled: list, let one in, revoke."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.admission import approve_agent, needs_approval, set_needs_approval
from api.auth import require
from api.authority import authority_of
from api.desk import desk_of
from api.enrolment import (
    LONGEST_HOST,
    TOKEN_TTL_S,
    create_enrolment_token,
    list_agents,
    revoke_agent,
)
from storage.sealing import Seal
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["agents"])
Admin = Annotated[Scope, require("tokens:write")]


class AgentView(BaseModel):
    """An enrolled agent. `cloned_at`: when two processes were seen with its one key.

    `policy_state`: applied, behind or refused (`policy_reason`); `response`: kinds of actions that
    its host lets through.
    """

    agent_id: str
    host: str = Field(description="as the agent says")
    named: str = Field(description="as it was let in; '' of one from before that was kept")
    version: str
    enrolled_at: datetime
    enrolments: int = Field(description="how often; a re-install counts")
    not_after: datetime = Field(description="end of its certificate")
    seen_at: datetime | None
    address: str
    cloned_at: datetime | None
    revoked_at: datetime | None
    waits_since: datetime | None = Field(description="it waits for an administrator's approval")
    policy_version: int
    policy_state: str
    policy_reason: str
    beat_at: datetime | None
    response: list[str]


class Agents(BaseModel):
    """Enrolled agents, the last seen first, 1,000 at most."""

    items: list[AgentView]


class NewEnrolment(BaseModel):
    """A host to let in."""

    model_config = ConfigDict(extra="forbid")
    host: str = Field(min_length=1, max_length=LONGEST_HOST)


class EnrolmentMade(BaseModel):
    """What the host is given; the token is shown this once."""

    token: str
    ca_fingerprint: str
    port: int = Field(description="of the agents' listener on this machine; 0 = it is off")
    expires_in_s: int


class Admission(BaseModel):
    """How agents that enrol are let in."""

    model_config = ConfigDict(extra="forbid")
    needs_approval: bool = Field(description="each waits for an administrator's yes")


@router.get("/agents", summary="List enrolled agents")
def listed(request: Request, scope: Annotated[Scope, require("ops:read")]) -> Agents:
    """Give the agents of the caller's tenant."""
    return Agents.model_validate({"items": list_agents(desk_of(request).database, scope)})


@router.post("/agents/tokens", summary="Let a host in", status_code=201)
def post(request: Request, scope: Admin, new: NewEnrolment) -> EnrolmentMade:
    """Make an enrolment token for one host: good once, for an hour."""
    desk = desk_of(request)
    authority = authority_of(desk.database, Seal.of(desk.settings), desk.now())
    return EnrolmentMade(
        token=create_enrolment_token(desk.database, scope, new.host),
        ca_fingerprint=authority.fingerprint,
        port=desk.settings.agents_place[1],
        expires_in_s=TOKEN_TTL_S,
    )


@router.get("/agents/approval", summary="Say whether new agents wait for approval")
def admission(request: Request, scope: Annotated[Scope, require("ops:read")]) -> Admission:
    """Give the tenant's setting."""
    return Admission(needs_approval=needs_approval(desk_of(request).database, scope))


@router.put("/agents/approval", summary="Let new agents wait for approval, or not", status_code=204)
def put_admission(request: Request, scope: Admin, wanted: Admission) -> None:
    """Set it; it counts for agents that enrol from now on."""
    set_needs_approval(desk_of(request).database, scope, wanted.needs_approval)


@router.post("/agents/{agent_id}/approve", summary="Approve an agent", status_code=204)
def approved(request: Request, scope: Admin, agent_id: uuid.UUID) -> None:
    """Let an agent that waits in; to refuse it, revoke it."""
    approve_agent(desk_of(request).database, scope, str(agent_id))


@router.delete("/agents/{agent_id}", summary="Revoke an agent", status_code=204)
def delete(request: Request, scope: Admin, agent_id: uuid.UUID) -> None:
    """Refuse the agent from its next request on."""
    desk = desk_of(request)
    revoke_agent(desk.database, scope, str(agent_id), desk.now())
