"""Ask for an action on a host, approve it, hand it to the agent signed, keep what came of it.

    ask -> waits -(another person)-> ready -> sent -> done | failed | refused
           waits -> denied;  too late -> expired

A dry run, a live query and an undo wait for nobody. All else waits for a second person unless the
tenant's policy says otherwise; what a program asks for always does.
"""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from api.action_kinds import COLLECTS, FREE, UNDOABLE, read_arguments
from api.agent_policy import agent_uuid, wanted_policy
from api.evidence import forget_pieces
from api.signer import Signer
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed, NotFound, Overloaded
from storage.identity import new_id
from storage.tenant import Scope

ASK: Final = "response:ask"
APPROVE: Final = "response:approve"
WAIT: Final = timedelta(hours=4)
"""For the second person; then for the agent, which may be away."""
GOOD: Final = timedelta(hours=1)
MAYBE_DONE: Final = frozenset({"sent", "done", "failed", "expired"})
"""States of what may be in force on its host."""
MOST_OPEN: Final = 50
MOST: Final = 200
AT_ONCE: Final = 10
LONGEST_NOTE: Final = 500
Tx = Connection[TupleRow]
Row = dict[str, Any]


def ask(
    database: Database,
    scope: Scope,
    agent_id: str,
    kind: str,
    arguments: Row,
    now: datetime,
    *,
    note: str,
    is_dry: bool = False,
    incident_id: str = "",
) -> Row:
    """Ask for an action on an agent's host; give it as it stands. Audited. Needs `response:ask`.

    NotFound for an agent that is not this tenant's, InvalidInput for what cannot be asked or lacks
    a reason (`note`), Overloaded when too many wait already.
    """
    scope.require(ASK)
    checked, named = read_arguments(kind, arguments), agent_uuid(agent_id)
    reason = _note(note)
    policy = wanted_policy(database, scope, named).document
    with database.app(scope) as tx:
        host = _host(tx, named)
        _has_room(tx, named, now)
        is_alone = not policy.four_eyes and _is_person(scope)
        is_alone = is_alone and not _lowered(tx, scope, named, now)
        needs = not is_dry and kind not in FREE and not is_alone
        action = {"kind": kind, "arguments": checked, "is_dry": is_dry, "undoes": None}
        state = "waits" if needs else "ready"
        return _add(tx, scope, named, host, action, state, now, reason, incident_id)


def undo(database: Database, scope: Scope, action_id: str, now: datetime) -> Row:
    """Take an action back: on its host if it was sent, else it is just not done. Audited.

    InvalidInput for what cannot be taken back, or is back already.
    """
    scope.require(ASK)
    with database.app(scope) as tx:
        action = _action(tx, action_id)
        if action["state"] in {"waits", "ready"}:
            _end_waiting(tx, scope, action, now)
            return _action(tx, action_id)
        if action["kind"] not in UNDOABLE or action["is_dry"]:
            raise InvalidInput(f"'{action['kind']}' cannot be taken back")
        # One that failed or is too late may have been begun: the host may hold it in force.
        if action["undone_at"] is not None or action["state"] not in MAYBE_DONE:
            raise InvalidInput("there is nothing to take back")
        host = _host(tx, str(action["agent_id"]))
        made = {
            "kind": "undo",
            "arguments": {"action": action["action_id"], "kind": action["kind"]},
            "is_dry": False,
            "undoes": action["action_id"],
        }
        agent_id, why = str(action["agent_id"]), f"undo of {action['kind']}"
        return _add(tx, scope, agent_id, host, made, "ready", now, why, action["incident_id"])


def _add(
    tx: Tx,
    scope: Scope,
    agent_id: str,
    host: str,
    action: Row,
    state: str,
    now: datetime,
    note: str,
    incident_id: str,
) -> Row:
    action_id = new_id(int(now.timestamp() * 1_000_000))
    execute(
        tx,
        "agent_action_add",
        action_id=action_id,
        agent_id=agent_id,
        kind=action["kind"],
        arguments=json.dumps(action["arguments"]),
        is_dry=action["is_dry"],
        undoes=action["undoes"],
        incident_id=incident_id[:100],
        note=note,
        state=state,
        asked_by=who(scope),
        asked_behind=scope.actor.person,
        now=now,
        expires_at=now + (WAIT if state == "waits" else GOOD),
    )
    told = {
        "agent": agent_id,
        "host": host,
        "kind": action["kind"],
        "arguments": action["arguments"],
        "dry_run": action["is_dry"],
        "note": note,
        "state": state,
    }
    write_audit(tx, scope, "agent-action.ask", action_id, detail=told)
    return _action(tx, action_id)


def approve(database: Database, scope: Scope, action_id: str, now: datetime) -> Row:
    """Let an action that waits go to its agent. Needs `response:approve`, and another person.

    NotAllowed for who asked, and for programs: a refused attempt is in the trail.
    """
    scope.require(APPROVE)
    with database.app(scope) as tx:
        action = _action(tx, action_id)
        why = _why_not(tx, scope, action)
        if why:
            told: dict[str, object] = {"reason": why, "asked_by": action["asked_by"]}
            write_audit(tx, scope, "agent-action.approve", action_id, "refused", told)
        elif action["state"] != "waits" or action["expires_at"] < now:
            raise InvalidInput("this action does not wait for approval")
        else:
            words = {"by": who(scope), "now": now, "expires_at": now + GOOD}
            execute(tx, "agent_action_approve", action_id=action["action_id"], **words)
            told = {"kind": action["kind"], "asked_by": action["asked_by"]}
            write_audit(tx, scope, "agent-action.approve", action_id, detail=told)
            action = _action(tx, action_id)
    if why:
        raise NotAllowed(why)
    return action


def _why_not(tx: Tx, scope: Scope, action: Row) -> str:
    if not _is_person(scope):
        return "only a signed-in person approves an action, never a program"
    asked = {action["asked_by"].casefold(), action["asked_behind"].casefold()}
    if who(scope).casefold() in asked:
        return (
            "who asked for an action, also by a program, does not approve it; another person does"
        )
    if not action["asked_behind"] and scope.may("tokens:write"):
        return "nobody knows who stands behind this program; who may make programs does not approve"
    approver, askers = [who(scope)], [action["asked_by"], action["asked_behind"]]
    if _is_made_by(tx, approver, askers) or _is_made_by(tx, askers, approver):
        return (
            "one of the two accounts was made or changed by the other, or by a program, within a "
            "day: that is no second person yet"
        )
    return ""


def _is_made_by(tx: Tx, accounts: list[str], makers: list[str]) -> bool:
    return bool(select(tx, "agent_account_made_by", accounts=accounts, makers=makers))


def _lowered(tx: Tx, scope: Scope, agent_id: str, now: datetime) -> bool:
    """Answer whether the asker made one pair of eyes enough within the last day."""
    person = scope.actor.person
    return bool(select(tx, "agent_four_eyes_lowered", agent_id=agent_id, person=person, now=now))


def deny(database: Database, scope: Scope, action_id: str, now: datetime) -> Row:
    """Refuse an action that was not sent yet. Who may ask or approve may do that. Audited."""
    if not scope.may(ASK):
        scope.require(APPROVE)
    with database.app(scope) as tx:
        action = _action(tx, action_id)
        if action["state"] not in {"waits", "ready"}:
            raise InvalidInput("this action was sent already, or is over")
        _end_waiting(tx, scope, action, now)
        return _action(tx, action_id)


def _end_waiting(tx: Tx, scope: Scope, action: Row, now: datetime) -> None:
    execute(tx, "agent_action_deny", action_id=action["action_id"], by=who(scope), now=now)
    told = {"kind": action["kind"], "asked_by": action["asked_by"]}
    write_audit(tx, scope, "agent-action.deny", str(action["action_id"]), detail=told)


def actions(
    database: Database, scope: Scope, agent_id: str | None = None, incident_id: str = ""
) -> list[Row]:
    """List actions, the newest first, 200 at most. Needs `ops:read`."""
    scope.require("ops:read")
    named = agent_uuid(agent_id) if agent_id else None
    with database.app(scope) as tx:
        return select(tx, "agent_actions_of", agent_id=named, incident_id=incident_id, limit=MOST)


def action_of(database: Database, scope: Scope, action_id: str) -> Row:
    """Give one action as it stands; NotFound if there is none. Needs `ops:read`."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        return _action(tx, action_id)


def orders(tx: Tx, scope: Scope, signer: Signer, now: datetime) -> list[str]:
    """Give what this agent should do now, signed; what is too old is over. Both are audited.

    An order is given again until its result comes: the agent does each once.
    """
    agent_id = scope.actor.name
    for row in select(tx, "agent_actions_expire", agent_id=agent_id, now=now):
        told: dict[str, object] = {"kind": row["kind"], "agent": agent_id}
        write_audit(tx, scope, "agent-action.expire", str(row["action_id"]), "failed", told)
        forget_pieces(tx, str(row["action_id"]))
    found = select(tx, "agent_actions_ready", agent_id=agent_id, now=now, limit=AT_ONCE)
    return [signer.sign(_body(scope, row, now)) for row in found if _is_sent(tx, scope, row, now)]


def expire_silent(database: Database, scope: Scope, now: datetime) -> int:
    """End what waits for agents that beat no more, and drop pieces of what they collected.

    A day after its end; give how many. Audited. What was sent and may be in force stays as it is.
    """
    with database.app(scope) as tx:
        found = select(tx, "agent_actions_expire_silent", now=now, collects=sorted(COLLECTS))
        for row in found:
            told: dict[str, object] = {"kind": row["kind"], "agent": row["agent_id"]}
            write_audit(tx, scope, "agent-action.expire", str(row["action_id"]), "failed", told)
            forget_pieces(tx, str(row["action_id"]))
    return len(found)


def _is_sent(tx: Tx, scope: Scope, row: Row, now: datetime) -> bool:
    """Mark an order as sent; False if somebody denied it meanwhile."""
    if row["state"] != "ready":
        return True
    if not execute(tx, "agent_action_sent", action_id=row["action_id"], now=now):
        return False
    told: dict[str, object] = {"kind": row["kind"], "agent": scope.actor.name}
    write_audit(tx, scope, "agent-action.send", str(row["action_id"]), detail=told)
    return True


def _body(scope: Scope, row: Row, now: datetime) -> Row:
    return {
        "about": "action",
        "tenant": scope.tenant_id,
        "agent": scope.actor.name,
        "id": row["action_id"],
        "kind": row["kind"],
        "arguments": row["arguments"],
        "is_dry": row["is_dry"],
        "at_us": int(now.timestamp() * 1_000_000),
        "expires_us": int(row["expires_at"].timestamp() * 1_000_000),
    }


def _has_room(tx: Tx, agent_id: str, now: datetime) -> None:
    (row,) = select(tx, "agent_actions_open", agent_id=agent_id, now=now)
    if int(str(row["count"])) >= MOST_OPEN:
        raise Overloaded("too many actions wait for this agent", retry_after_s=60)


def _host(tx: Tx, agent_id: str) -> str:
    rows = select(tx, "agent_standing", agent_id=agent_id)
    if not rows:
        raise NotFound(f"agent {agent_id} is not there")
    if rows[0]["revoked_at"] is not None:
        raise InvalidInput("this agent is revoked: it is not listened to, and told nothing")
    return str(rows[0]["host"])


def _action(tx: Tx, action_id: str) -> Row:
    try:
        rows = select(tx, "agent_action", action_id=str(uuid.UUID(action_id)))
    except ValueError:
        rows = []
    if not rows:
        raise NotFound(f"action {action_id[:40]!r} is not there")
    return rows[0]


def _note(text: str) -> str:
    reason = " ".join(text.split())
    if not 3 <= len(reason) <= LONGEST_NOTE or not reason.isprintable():
        raise InvalidInput(f"say why (note): 3 to {LONGEST_NOTE} printable characters")
    return reason


def _is_person(scope: Scope) -> bool:
    return scope.actor.kind == "user"


def who(scope: Scope) -> str:
    """Give who acts as it is kept: a token is never taken for a person of the same name."""
    return f"{scope.actor.kind}:{scope.actor.name}"
