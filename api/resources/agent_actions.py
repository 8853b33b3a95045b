"""Act on hosts: ask, approve, deny, undo; read what came of it."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api import agent_actions as acts
from api.auth import require
from api.desk import desk_of
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["agents"])
Reader = Annotated[Scope, require("ops:read")]
Asker = Annotated[Scope, require("response:ask")]


class ActionView(BaseModel):
    """An action as it stands. `state`: waits, ready, sent, done, failed, refused, denied, expired.

    `in_force_until`: the latest end of what lasts; `undone_at`: when it was taken back.
    """

    action_id: str
    agent_id: str
    kind: str
    arguments: dict[str, Any]
    is_dry: bool
    undoes: str | None
    incident_id: str
    note: str
    state: str
    asked_by: str
    asked_at: datetime
    approved_by: str
    approved_at: datetime | None
    expires_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    result: dict[str, Any] | None
    in_force_until: datetime | None
    undone_at: datetime | None


class Actions(BaseModel):
    """Actions, the newest first, 200 at most."""

    items: list[ActionView]


class NewAction(BaseModel):
    """What to do on a host, and why."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field(max_length=40, description="isolate, kill, suspend, collect, maps, ...")
    arguments: dict[str, Any] = {}
    is_dry: bool = Field(False, description="say what would be done, and do nothing")
    note: str = Field(min_length=3, max_length=acts.LONGEST_NOTE, description="why")
    incident_id: str = Field("", max_length=100)


@router.get("/agent-actions", summary="List actions on hosts")
def listed(
    request: Request,
    scope: Reader,
    agent_id: uuid.UUID | None = None,
    incident_id: Annotated[str, Query(max_length=100)] = "",
) -> Actions:
    """Give the tenant's actions, of one agent or incident if asked."""
    named = str(agent_id) if agent_id else None
    found = acts.actions(desk_of(request).database, scope, named, incident_id)
    return Actions.model_validate({"items": found})


@router.post("/agents/{agent_id}/actions", summary="Ask for an action on a host", status_code=201)
def post(request: Request, scope: Asker, agent_id: uuid.UUID, new: NewAction) -> ActionView:
    """Keep it; it goes to the agent at once, or once a second person has approved it."""
    desk = desk_of(request)
    made = acts.ask(
        desk.database,
        scope,
        str(agent_id),
        new.kind,
        new.arguments,
        desk.now(),
        note=new.note,
        is_dry=new.is_dry,
        incident_id=new.incident_id,
    )
    return ActionView.model_validate(made)


@router.get("/agent-actions/{action_id}", summary="Read an action on a host")
def read(request: Request, scope: Reader, action_id: uuid.UUID) -> ActionView:
    """Give one action as it stands."""
    return ActionView.model_validate(
        acts.action_of(desk_of(request).database, scope, str(action_id))
    )


@router.post("/agent-actions/{action_id}/approve", summary="Approve an action")
def approve(
    request: Request, scope: Annotated[Scope, require("response:approve")], action_id: uuid.UUID
) -> ActionView:
    """Let it go to its agent; another person than who asked."""
    desk = desk_of(request)
    return ActionView.model_validate(acts.approve(desk.database, scope, str(action_id), desk.now()))


@router.post("/agent-actions/{action_id}/deny", summary="Refuse an action that was not sent")
def deny(request: Request, scope: Asker, action_id: uuid.UUID) -> ActionView:
    """End it before its agent hears of it."""
    desk = desk_of(request)
    return ActionView.model_validate(acts.deny(desk.database, scope, str(action_id), desk.now()))


@router.post("/agent-actions/{action_id}/undo", summary="Take an action back")
def undo(request: Request, scope: Asker, action_id: uuid.UUID) -> ActionView:
    """Take it back on its host; what was not sent yet is just not done."""
    desk = desk_of(request)
    return ActionView.model_validate(acts.undo(desk.database, scope, str(action_id), desk.now()))
