"""Keep files that agents collected: in pieces as they come, whole by their hash, with custody.

Nothing of a whole file can be changed or taken away by the application: its role may not.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from api.action_kinds import COLLECTS
from api.desk import Desk
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.identity import new_id
from storage.tenant import Scope

READ: Final = "evidence:read"
PIECE: Final = 512 << 10
MOST_HELD: Final = 4 << 30
"""Bytes of a tenant's evidence; over it nothing more is taken."""
MOST: Final = 500
Tx = Connection[TupleRow]
Row = dict[str, Any]


def keep_piece(desk: Desk, scope: Scope, evidence_id: str, number: int, content: bytes) -> None:
    """Keep one piece of what this agent was told to collect; the same one again is nothing new.

    NotAllowed for what it was not told to collect, or for more than was asked for.
    """
    if not content or len(content) > PIECE:
        raise InvalidInput(f"a piece has 1 to {PIECE} bytes")
    with desk.database.app(scope) as tx:
        rows = select(tx, "agent_action", action_id=evidence_id)
        is_its = bool(rows) and rows[0]["agent_id"] == scope.actor.name
        if not is_its or rows[0]["kind"] not in COLLECTS or rows[0]["state"] != "sent":
            raise NotAllowed("this agent was not told to collect that")
        (held,) = select(tx, "evidence_pieces_count", evidence_id=evidence_id)
        most = most_bytes(rows[0])
        if int(str(held["size_bytes"])) + len(content) > most + PIECE or number * PIECE > most:
            raise NotAllowed(f"more than {most} bytes were not asked for")
        execute(tx, "evidence_piece_add", evidence_id=evidence_id, number=number, content=content)


def most_bytes(action: Row) -> int:
    """Give how large what an action collects may be."""
    return int(action["arguments"].get("most_bytes", 4 << 20))


def complete(tx: Tx, scope: Scope, action: Row, host: str, told: Row, now: datetime) -> str:
    """Make the pieces one file, if they are what the agent says; give what is wrong, or ''."""
    evidence_id = str(action["action_id"])
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(tx, evidence_id):
        digest.update(piece)
        size += len(piece)
    said = told.get("evidence") or {}
    wrong = ""
    if digest.hexdigest() != said.get("sha256") or size != said.get("size_bytes"):
        wrong = "what came is not what the agent says that it collected"
    elif size > most_bytes(action):
        wrong = "it is larger than what was asked for"
    elif int(str(select(tx, "evidence_held")[0]["size_bytes"])) + size > MOST_HELD:
        wrong = f"this tenant holds {MOST_HELD >> 30} GB of evidence already"
    if wrong:
        execute(tx, "evidence_pieces_forget", evidence_id=evidence_id)
        return wrong
    execute(
        tx,
        "evidence_add",
        evidence_id=evidence_id,
        agent_id=action["agent_id"],
        host=host,
        source=str(said.get("source", ""))[:1000],
        size_bytes=size,
        sha256=digest.hexdigest(),
        collected_at=datetime.fromtimestamp(int(said.get("at_us", 0)) / 1e6, now.tzinfo),
        now=now,
        detail=json.dumps(said.get("detail", {})),
    )
    asked = {"asked_by": action["asked_by"], "approved_by": action["approved_by"]}
    told_of = {"sha256": digest.hexdigest(), "size_bytes": size, "host": host, **asked}
    _custody(tx, scope, evidence_id, "received", told_of, now)
    return ""


def _pieces(tx: Tx, evidence_id: str) -> Iterator[bytes]:
    number = 0
    while rows := select(tx, "evidence_piece", evidence_id=evidence_id, number=number):
        content = rows[0]["content"]
        assert isinstance(content, bytes)  # noqa: S101  a NOT NULL bytea
        yield content
        number += 1


def _custody(
    tx: Tx, scope: Scope, evidence_id: str, what: str, detail: dict[str, object], now: datetime
) -> None:
    execute(
        tx,
        "custody_add",
        evidence_id=evidence_id,
        entry_id=new_id(int(now.timestamp() * 1_000_000)),
        now=now,
        actor=f"{scope.actor.kind}:{scope.actor.name}"[:200],
        what=what,
        detail=json.dumps(detail),
    )


def list_evidence(database: Database, scope: Scope) -> list[Row]:
    """List what was collected, the newest first, 500 at most."""
    scope.require(READ)
    with database.app(scope) as tx:
        return select(tx, "evidence_all", limit=MOST)


def evidence_of(database: Database, scope: Scope, evidence_id: str) -> Row:
    """Give one file's facts and its custody; NotFound if there is none."""
    scope.require(READ)
    with database.app(scope) as tx:
        return _found(tx, evidence_id)


def _found(tx: Tx, evidence_id: str) -> Row:
    try:
        named = str(uuid.UUID(evidence_id))
    except ValueError:
        named = str(uuid.UUID(int=0))
    rows = select(tx, "evidence_one", evidence_id=named)
    if not rows:
        raise NotFound(f"evidence {evidence_id[:40]!r} is not there")
    return {**rows[0], "custody": select(tx, "custody_of", evidence_id=named)}


def hand_out(
    database: Database, scope: Scope, evidence_id: str, now: datetime
) -> tuple[Row, bytes]:
    """Give one file and its facts; who took it is written into its custody and the trail.

    NotFound if there is none; NotAllowed if what is held has another hash than when it came.
    """
    scope.require(READ)
    with database.app(scope) as tx:
        found = _found(tx, evidence_id)
        content = b"".join(_pieces(tx, str(found["evidence_id"])))
        is_whole = hashlib.sha256(content).hexdigest() == found["sha256"]
        what = "handed out" if is_whole else "found changed"
        _custody(tx, scope, str(found["evidence_id"]), what, {"sha256": found["sha256"]}, now)
        result: Any = "done" if is_whole else "failed"
        write_audit(tx, scope, "evidence.read", str(found["evidence_id"]), result)
    if not is_whole:
        raise NotAllowed("what is held is not what was collected; see its custody")
    return found, content
