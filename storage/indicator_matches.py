"""Keep searches of the past: queued with the indicators that are new, taken up where they stopped.

A search goes back day by day and says after each how far it is; the findings' ids follow from what
they claim, so that a day searched twice doubles nothing.
"""

import time
from datetime import datetime
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute, select
from storage.errors import NotFound
from storage.identity import new_id
from storage.tenant import Scope

MOST_KEPT: Final = 50
DEAD_S: Final = 120.0
"""Without a beat for so long, whoever ran it is dead."""
SETTLE_S: Final = 20.0
"""Nothing is searched until the flows have what is new: an event falls to the one or the other."""
PATIENCE_S: Final = 600.0
"""A search waits no longer for more to come."""
Row = dict[str, Any]


def queue_match(tx: Connection[TupleRow]) -> str:
    """Ask for a search for what no search was for yet; give its id.

    In the transaction that keeps the indicators: both come, or none.
    """
    match_id = new_id(time.time_ns() // 1000)
    rows = select(tx, "match_queue", match_id=match_id)
    execute(tx, "matches_trim", most=MOST_KEPT)
    return str(rows[0]["match_id"])


def get_match(scope: Scope, tx: Connection[TupleRow], match_id: str) -> Row:
    """Give one; NotFound if the tenant has none of that id. Needs `findings:read`."""
    scope.require("findings:read")
    found = select(tx, "match_one", match_id=match_id)
    if not found:
        raise NotFound("there is no search of that id")
    return found[0]


def newest_matches(scope: Scope, tx: Connection[TupleRow], limit: int = 20) -> list[Row]:
    """Give the newest. Needs `findings:read`."""
    scope.require("findings:read")
    return select(tx, "matches_newest", limit=limit)


def waiting_matches(tx: Connection[TupleRow], settle_s: float = SETTLE_S) -> list[tuple[str, str]]:
    """Give (tenant, id) of what waits or was left behind; as the writer."""
    told = {"dead_s": DEAD_S, "settle_s": settle_s, "patience_s": PATIENCE_S}
    rows = select(tx, "matches_waiting", **told)
    return [(str(row["tenant_id"]), str(row["match_id"])) for row in rows]


def take_match(tx: Connection[TupleRow], match_id: str) -> bool:
    """Take one to run it; False if somebody else has it, or it was given up."""
    rows = select(tx, "match_take", match_id=match_id, dead_s=DEAD_S)
    return bool(rows) and rows[0]["status"] == "running"


def match_indicators(tx: Connection[TupleRow], match_id: str, schema: Any) -> pl.DataFrame:  # noqa: ANN401  polars' own words
    """Give what the search is for, in a later transaction than the one that took it."""
    execute(tx, "indicators_to_match", match_id=match_id)
    rows = select(tx, "indicators_of_match", match_id=match_id)
    execute(tx, "match_beat", match_id=match_id, indicators=len(rows))
    return pl.DataFrame(rows, schema=schema)


def match_beats(tx: Connection[TupleRow], match_id: str, indicators: int) -> None:
    """Say that it still runs."""
    execute(tx, "match_beat", match_id=match_id, indicators=indicators)


def match_reached(
    tx: Connection[TupleRow],
    tenant_id: str,
    match_id: str,
    reached: datetime,
    events: int,
    findings: int,
) -> None:
    """Say from when on everything is searched, and what that added; as the writer.

    In the transaction that claims the findings: a kill leaves both, or none.
    """
    told = {"reached": reached, "events": events, "findings": findings}
    execute(tx, "match_reached", of_tenant=tenant_id, match_id=match_id, **told)


def end_match(tx: Connection[TupleRow], match_id: str, reason: str = "") -> None:
    """Write that it is done, or that it failed for `reason`."""
    status = "failed" if reason else "done"
    execute(tx, "match_end", match_id=match_id, status=status, reason=reason[:500])
