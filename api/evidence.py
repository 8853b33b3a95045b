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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.action_kinds import COLLECTS, MOST_COLLECTED
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
LAST_US: Final = 4_102_444_800_000_000
_FULL: Final = f"this tenant holds {MOST_HELD >> 30} GB of evidence already"
Tx = Connection[TupleRow]
Row = dict[str, Any]


class Claimed(BaseModel):
    """What an agent says of a file that it collected."""

    model_config = ConfigDict(strict=True)
    source: str = Field("", max_length=4000)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=1, le=MOST_COLLECTED)
    at_us: int = Field(0, ge=0, lt=LAST_US)
    detail: dict[str, Any] = {}


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
        if _held(tx) + len(content) > MOST_HELD:
            raise NotAllowed(_FULL)
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
    try:
        said = Claimed.model_validate(told.get("evidence"))
    except ValidationError:
        return "what the agent says of what it collected cannot be read"
    if digest.hexdigest() != said.sha256 or size != said.size_bytes:
        return "what came is not what the agent says that it collected"
    if size > most_bytes(action):
        return "it is larger than what was asked for"
    if _held(tx) > MOST_HELD:
        return _FULL
    execute(
        tx,
        "evidence_add",
        evidence_id=evidence_id,
        agent_id=action["agent_id"],
        host=host,
        source=said.source[:1000],
        size_bytes=size,
        sha256=digest.hexdigest(),
        collected_at=datetime.fromtimestamp(said.at_us / 1e6, now.tzinfo),
        now=now,
        # What the agent was told to collect, beside what it says that this is.
        detail=json.dumps({**said.detail, "asked": action["arguments"]}),
    )
    asked = {"asked_by": action["asked_by"], "approved_by": action["approved_by"]}
    asked |= {"asked": action["arguments"], "claimed": said.source[:1000]}
    told_of = {"sha256": digest.hexdigest(), "size_bytes": size, "host": host, **asked}
    _custody(tx, scope, evidence_id, "received", told_of, now)
    return ""


def forget_pieces(tx: Tx, evidence_id: str) -> None:
    """Drop the pieces of what became no whole file; a whole one's stay."""
    execute(tx, "evidence_pieces_forget", evidence_id=evidence_id)


def _held(tx: Tx) -> int:
    return int(str(select(tx, "evidence_held")[0]["size_bytes"]))


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
) -> tuple[Row, Iterator[bytes]]:
    """Give one file in pieces, and its facts; who took it is written into its custody and trail.

    NotFound if there is none; NotAllowed if what is held has another hash than when it came. It is
    read twice, a piece at a time: nobody is given anything before all of it was looked at.
    """
    scope.require(READ)
    with database.app(scope) as tx:
        found = _found(tx, evidence_id)
        digest = hashlib.sha256()
        for piece in _pieces(tx, str(found["evidence_id"])):
            digest.update(piece)
        is_whole = digest.hexdigest() == found["sha256"]
        what = "handed out" if is_whole else "found changed"
        _custody(tx, scope, str(found["evidence_id"]), what, {"sha256": found["sha256"]}, now)
        result: Any = "done" if is_whole else "failed"
        write_audit(tx, scope, "evidence.read", str(found["evidence_id"]), result)
    if not is_whole:
        raise NotAllowed("what is held is not what was collected; see its custody")
    return found, _streamed(database, scope, found)


def _streamed(database: Database, scope: Scope, found: Row) -> Iterator[bytes]:
    """Give piece by piece, each in a transaction of its own: a slow reader holds none.

    NotAllowed before the last one if it became another file meanwhile: what was given is not whole.
    """
    digest, left, number = hashlib.sha256(), int(found["size_bytes"]), 0
    while left > 0:
        with database.app(scope) as tx:
            rows = select(tx, "evidence_piece", evidence_id=found["evidence_id"], number=number)
        content = rows[0]["content"] if rows else b""
        assert isinstance(content, bytes)  # noqa: S101  a NOT NULL bytea
        digest.update(content)
        left, number = left - len(content), number + 1
        if not content or (left <= 0 and digest.hexdigest() != found["sha256"]):
            raise NotAllowed("what is held is not what was collected; see its custody")
        yield content
