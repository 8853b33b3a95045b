"""Write down who did what to which object and how it ended, in the transaction that did it."""

import json
import time
from collections.abc import Mapping
from typing import Literal

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute
from storage.identity import new_id
from storage.plain import plain
from storage.tenant import Scope

Result = Literal["done", "refused", "failed"]
_LONGEST = 500


def write_audit(
    tx: Connection[TupleRow],
    scope: Scope,
    action: str,
    object: str = "",
    result: Result = "done",
    detail: Mapping[str, object] | None = None,
) -> None:
    """Add one entry to the tenant's trail, inside the caller's transaction.

    `action`: noun.verb (`incident.assign`); `object`: id of what it was done to; `detail`: what
    changed, never a secret or a password. Texts are cut at 500 characters.
    """
    execute(
        tx,
        "audit_write",
        entry_id=new_id(time.time_ns() // 1000),
        actor=f"{scope.actor.kind}:{scope.actor.name}"[:_LONGEST],
        action=action[:_LONGEST],
        object=str(plain(object[:_LONGEST])),
        result=result,
        detail=json.dumps(plain(dict(detail or {}))),
    )
