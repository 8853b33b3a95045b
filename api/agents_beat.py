"""Answer an agent's beat: what it should run, what it should do; take results and evidence.

Part of the agents' own door: whoever asks has shown an agent's certificate.
"""

import uuid
from datetime import datetime
from typing import Annotated, Any, Final, get_args

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from psycopg import Connection
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.agent_actions import orders
from api.agent_policy import Kind, Policy, wanted_in
from api.agent_results import keep_results
from api.auth.gate import require
from api.desk import desk_of
from api.evidence import keep_piece
from api.signer import Signer, signer_of
from storage.database.queries import select
from storage.errors import NotAllowed
from storage.plain import one_line
from storage.sealing import Seal
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1/agents", tags=["agents"])
LONGEST_REASON: Final = 500
CLAIM: Final = "it says that it runs a version that was never given"
_LOG: Final = structlog.get_logger("agents")


class Beat(BaseModel):
    """What an agent says of itself: the policy it runs, what it may be told, what came of what."""

    model_config = ConfigDict(extra="forbid")
    policy_version: int = Field(0, ge=0, le=2**62)
    policy_refused: int = Field(0, ge=0, le=2**62, description="version that it did not take")
    policy_reason: str = ""
    response: list[str] = Field([], max_length=100, description="what its host lets it do")
    results: list[Any] = Field([], max_length=10, description="what came of what it was told")

    @field_validator("policy_reason", mode="before")
    @classmethod
    def _line(cls, said: object) -> str:
        return one_line(said)[:LONGEST_REASON]

    @field_validator("response", mode="before")
    @classmethod
    def _known(cls, said: object) -> object:
        """Leave out what a later agent can do and this house does not know."""
        return [k for k in get_args(Kind) if k in said] if isinstance(said, list) else said


class Answer(BaseModel):
    """What the agent should do. `policy`: signed, if it runs another; `orders`: signed."""

    policy: str = ""
    orders: list[str] = []
    beat_s: int


@router.post("/beat", summary="Say how the agent is; hear what to do")
def beat(request: Request, said: Beat, scope: Annotated[Scope, require()]) -> Answer:
    """Keep what the agent says; give its policy if it is another one, and its orders."""
    desk, now = desk_of(request), desk_of(request).now()
    signer = _signer(request)
    with desk.database.app(scope) as tx:
        policy = wanted_in(tx, scope.actor.name)
        _keep(tx, scope, said, policy, now)
        keep_results(tx, scope, said.results, now)
        found = orders(tx, scope, signer, now)
    is_other = policy.version not in {said.policy_version, said.policy_refused}
    # A version that is below the agent's cannot be had again: it would refuse it.
    text = signer.sign(_body(scope, policy, now)) if is_other and policy.version else ""
    return Answer(policy=text, orders=found, beat_s=policy.document.beat_s)


def _body(scope: Scope, policy: Policy, now: datetime) -> dict[str, Any]:
    return {
        "about": "policy",
        "tenant": scope.tenant_id,
        "agent": scope.actor.name,
        "version": policy.version,
        "at_us": int(now.timestamp() * 1_000_000),
        "policy": policy.document.told(),
    }


def _keep(
    tx: Connection[TupleRow], scope: Scope, said: Beat, policy: Policy, now: datetime
) -> None:
    """Keep how the agent stands to its policy."""
    state = "applied" if said.policy_version == policy.version else "behind"
    # 0: it refused one whose version it could not even read.
    unread = not said.policy_refused and bool(said.policy_reason) and state == "behind"
    if policy.version and (said.policy_refused == policy.version or unread):
        state = "refused"
    (kept,) = select(
        tx,
        "agent_beat",
        now=now,
        version=said.policy_version,
        state=state,
        reason=said.policy_reason if state == "refused" else "",
        claim=CLAIM,
        response=list(said.response),
        agent_id=scope.actor.name,
    )
    if kept["is_new_claim"]:
        told = {"agent": scope.actor.name, "version": said.policy_version}
        _LOG.warning("agent_policy_claimed", tenant=scope.tenant_id, **told)


def _signer(request: Request) -> Signer:
    """Give the house's signer, opened once; it is renewed long before its certificate ends."""
    state = request.app.state
    if getattr(state, "signer", None) is None:
        desk = desk_of(request)
        state.signer = signer_of(desk.database, Seal.of(desk.settings), desk.now())
    found: Signer = state.signer
    return found


@router.post("/evidence/{action_id}", summary="Hand over a piece of evidence", status_code=204)
async def piece(
    request: Request,
    action_id: uuid.UUID,
    number: Annotated[int, Query(ge=0, le=1024)],
    scope: Annotated[Scope, require()],
) -> None:
    """Keep one piece of a file that this agent was told to collect."""
    if scope.actor.kind != "agent":
        raise NotAllowed("only agents hand evidence over")
    content = await request.body()
    await run_in_threadpool(keep_piece, desk_of(request), scope, str(action_id), number, content)
