"""Let an administrator say yes before an enrolled agent is let in, where the tenant wants that."""

import uuid

from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import NotFound
from storage.tenant import Scope

WRITE = "tokens:write"


def needs_approval(database: Database, scope: Scope) -> bool:
    """Answer whether agents that enrol from now on wait for an administrator's yes."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        return bool(select(tx, "agent_admission")[0]["needs_approval"])


def set_needs_approval(database: Database, scope: Scope, wanted: bool) -> None:
    """Say whether agents that enrol from now on wait; those that wait already go on. Audited."""
    scope.require(WRITE)
    who = f"{scope.actor.kind}:{scope.actor.name}"[:300]
    with database.app(scope) as tx:
        execute(tx, "agent_admission_set", wanted=wanted, who=who)
        write_audit(tx, scope, "agent.admission", detail={"needs_approval": wanted})


def approve_agent(database: Database, scope: Scope, agent_id: str) -> None:
    """Let an agent that waits in; NotFound if there is none that does. Needs `tokens:write`."""
    scope.require(WRITE)
    try:
        named = str(uuid.UUID(agent_id))
    except ValueError:
        raise NotFound(f"agent {agent_id[:40]!r} is not there") from None
    who = f"{scope.actor.kind}:{scope.actor.name}"[:300]
    with database.app(scope) as tx:
        if not execute(tx, "agent_approve", agent_id=named, who=who):
            raise NotFound(f"agent {agent_id[:40]} is not there, or does not wait for approval")
        write_audit(tx, scope, "agent.approve", named)
