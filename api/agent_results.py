"""Keep what agents say came of their orders, each by itself: none can spoil an agent's beat."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from api.action_kinds import COLLECTS, LASTING
from api.evidence import complete, forget_pieces
from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.plain import plain
from storage.tenant import Scope

LARGEST: Final = 300_000
"""Bytes of JSON of a result."""
STATES: Final = ("done", "failed", "refused")
Tx = Connection[TupleRow]
Row = dict[str, Any]
_NOT_KEPT: Final = (psycopg.DataError, psycopg.IntegrityError, ValueError, OverflowError)
_LOG: Final = structlog.get_logger("agents")


def keep_results(tx: Tx, scope: Scope, results: Sequence[object], now: datetime) -> None:
    """Keep each in a savepoint of its own; of one that cannot be kept, keep that it came.

    What names no action of this agent's is left out and logged.
    """
    for said in results:
        told = _read(said)
        if told is None:
            _LOG.warning("agent_result_left_out", tenant=scope.tenant_id, agent=scope.actor.name)
            continue
        try:
            with tx.transaction():
                keep_result(tx, scope, told, now)
        except _NOT_KEPT as wrong:
            lost = _not_taken(type(wrong).__name__)
            with tx.transaction():
                keep_result(tx, scope, {**told, "state": "failed", "result": lost}, now)


def _read(said: object) -> Row | None:
    """Give id, state and result of what an agent says, made plain; None if it names no action."""
    if not isinstance(said, dict):
        return None
    try:
        named = str(uuid.UUID(str(said.get("id"))))
    except ValueError:
        return None
    state, result = said.get("state"), said.get("result", {})
    if state not in STATES or not isinstance(result, dict):
        return {"id": named, "state": "failed", "result": _not_taken("it is no result")}
    # Done is done: what is too large is left out, not that the host was changed.
    kept = plain(result)
    if len(json.dumps(kept, ensure_ascii=False).encode()) > LARGEST:
        kept = _not_taken(f"it has over {LARGEST} bytes")
    return {"id": named, "state": state, "result": kept}


def _not_taken(why: str) -> Row:
    return {"why": f"what the agent said of it was not taken: {why}"}


def keep_result(tx: Tx, scope: Scope, told: Row, now: datetime) -> None:
    """Keep what an agent says came of an action that it was sent; anything else is left out.

    `told`: id, state (done, failed, refused), result.
    """
    rows = select(tx, "agent_action", action_id=told["id"])
    action = rows[0] if rows else None
    # What was told before, or is another agent's, changes nothing.
    if action is None or action["agent_id"] != scope.actor.name or action["state"] != "sent":
        return
    state, result = str(told["state"]), dict(told.get("result") or {})
    if state == "done" and action["kind"] in COLLECTS and not action["is_dry"]:
        host = str(select(tx, "agent_standing", agent_id=scope.actor.name)[0]["host"])
        wrong = complete(tx, scope, action, host, result, now)
        if wrong:
            state, result = "failed", {**result, "why": wrong}
    execute(
        tx,
        "agent_action_end",
        action_id=action["action_id"],
        agent_id=scope.actor.name,
        state=state,
        now=now,
        result=json.dumps(result),
        until=_until(action, state, now),
    )
    if state != "done" and action["kind"] in COLLECTS:
        forget_pieces(tx, str(action["action_id"]))
    if state == "done" and action["kind"] == "undo":
        execute(tx, "agent_action_undone", action_id=action["undoes"], now=now)
    short = {k: v for k, v in result.items() if len(json.dumps(v)) < 2000}
    detail = {"kind": action["kind"], "agent": scope.actor.name, "state": state, "result": short}
    ended: Any = {"done": "done", "refused": "refused"}.get(state, "failed")
    write_audit(tx, scope, "agent-action.result", str(action["action_id"]), ended, detail)


def _until(action: Row, state: str, now: datetime) -> datetime | None:
    if state != "done" or action["is_dry"] or action["kind"] not in LASTING:
        return None
    return now + timedelta(minutes=int(action["arguments"].get("minutes", 1440)))
