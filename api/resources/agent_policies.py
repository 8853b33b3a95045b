"""Say what agents do: read and set the policy of all agents, or of one."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.agent_policy import (
    LONGEST_NOTE,
    Policy,
    PolicyDocument,
    policies,
    remove_policy,
    set_policy,
    wanted_policy,
)
from api.auth import require
from api.desk import desk_of
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["agents"])
Reader = Annotated[Scope, require("ops:read")]
Writer = Annotated[Scope, require("policy:write")]


class PolicyView(BaseModel):
    """One version of a policy. `agent_id` null: of all agents; `version` 0: nothing was said."""

    version: int
    agent_id: str | None
    document: PolicyDocument
    is_removed: bool
    note: str
    made_by: str
    made_at: datetime | None


class Policies(BaseModel):
    """Versions of the tenant's policies, the newest first, 200 at most."""

    items: list[PolicyView]


class NewPolicy(BaseModel):
    """What agents should do, and why it is changed."""

    model_config = ConfigDict(extra="forbid")
    document: PolicyDocument
    note: str = Field("", max_length=LONGEST_NOTE)


@router.get("/agent-policies", summary="List versions of the agents' policies")
def listed(request: Request, scope: Reader) -> Policies:
    """Give who changed what and when."""
    found = policies(desk_of(request).database, scope)
    return Policies(items=[_view(p) for p in found])


@router.get("/agent-policy", summary="Read the policy of all agents")
def read(request: Request, scope: Reader) -> PolicyView:
    """Give what agents without a policy of their own should run."""
    return _view(wanted_policy(desk_of(request).database, scope))


@router.put("/agent-policy", summary="Set the policy of all agents")
def put(request: Request, scope: Writer, new: NewPolicy) -> PolicyView:
    """Keep a new version; agents take it at their next beat."""
    desk = desk_of(request)
    return _view(set_policy(desk.database, scope, new.document, desk.now(), note=new.note))


@router.get("/agents/{agent_id}/policy", summary="Read the policy of one agent")
def read_one(request: Request, scope: Reader, agent_id: uuid.UUID) -> PolicyView:
    """Give what this agent should run: its own policy, else that of all."""
    return _view(wanted_policy(desk_of(request).database, scope, str(agent_id)))


@router.put("/agents/{agent_id}/policy", summary="Set a policy of one agent's own")
def put_one(request: Request, scope: Writer, agent_id: uuid.UUID, new: NewPolicy) -> PolicyView:
    """Keep a new version for this agent; it comes before the one of all."""
    desk = desk_of(request)
    named = str(agent_id)
    return _view(set_policy(desk.database, scope, new.document, desk.now(), named, new.note))


@router.delete("/agents/{agent_id}/policy", summary="Take an agent's own policy back")
def delete_one(request: Request, scope: Writer, agent_id: uuid.UUID) -> PolicyView:
    """Let the agent follow the policy of all again."""
    desk = desk_of(request)
    remove_policy(desk.database, scope, str(agent_id), desk.now())
    return _view(wanted_policy(desk.database, scope, str(agent_id)))


def _view(policy: Policy) -> PolicyView:
    return PolicyView.model_validate(policy, from_attributes=True)
