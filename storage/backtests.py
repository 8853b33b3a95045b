"""Keep back-tests: a rule text to be run over a tenant's history, and what came of it.

A request is a row; who runs it takes it, says how far it is, and writes the result. A process that
dies leaves a row that stops beating: another takes it again. Nothing but the row is written, so
that running twice doubles nothing.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound, Overloaded
from storage.identity import new_id
from storage.rules import GRANT, LONGEST_TEXT
from storage.tenant import Scope

MOST_OPEN: Final = 3
"""Back-tests of one tenant that may wait or run at once."""
MOST_KEPT: Final = 100
MOST_DAYS: Final = 366
DEAD_S: Final = 60.0
"""Without a beat for so long, whoever ran it is dead."""
Row = dict[str, Any]


def request_backtest(
    scope: Scope, tx: Connection[TupleRow], text: str, title: str, days: int, until: datetime
) -> str:
    """Ask for a text to be run over the `days` before `until`; give the back-test's id.

    Needs `rules:write`. InvalidInput for a text too long or a span that is none; Overloaded while
    three of the tenant's wait.
    """
    scope.require(GRANT)
    if not text.strip() or len(text) > LONGEST_TEXT or "\x00" in text:
        raise InvalidInput(f"a rule's text has 1 to {LONGEST_TEXT} characters, without NUL")
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"a back-test looks back 1 to {MOST_DAYS} days")
    if int(str(select(tx, "backtest_open")[0]["waiting"])) >= MOST_OPEN:
        raise Overloaded(
            f"{MOST_OPEN} back-tests of yours are not done yet; wait for one", retry_after_s=5
        )
    backtest_id = new_id(int(until.timestamp() * 1_000_000))
    execute(
        tx,
        "backtest_add",
        backtest_id=backtest_id,
        text=text,
        title=title[:300],
        days=days,
        until=until,
        created_by=scope.actor.name,
    )
    execute(tx, "backtests_trim", most=MOST_KEPT)
    detail = {"title": title[:200], "days": days}
    write_audit(tx, scope, "rule.backtest", str(backtest_id), detail=detail)
    return str(backtest_id)


def get_backtest(scope: Scope, tx: Connection[TupleRow], backtest_id: str) -> Row:
    """Give one with its text; NotFound if the tenant has none of that id. Needs `findings:read`."""
    scope.require("findings:read")
    try:
        wanted = str(uuid.UUID(backtest_id))
    except ValueError:
        raise NotFound("there is no back-test of that id") from None
    found = select(tx, "backtest", backtest_id=wanted)
    if not found:
        raise NotFound("there is no back-test of that id")
    return found[0]


def newest_backtests(scope: Scope, tx: Connection[TupleRow], limit: int = 20) -> list[Row]:
    """Give the newest, without their texts. Needs `findings:read`."""
    scope.require("findings:read")
    return select(tx, "backtests_newest", limit=limit)


def waiting_backtests(tx: Connection[TupleRow]) -> list[tuple[str, str]]:
    """Give (tenant, id) of what waits or was left behind; as the writer."""
    rows = select(tx, "backtests_waiting", dead_s=DEAD_S)
    return [(str(row["tenant_id"]), str(row["backtest_id"])) for row in rows]


def take_backtest(tx: Connection[TupleRow], backtest_id: str) -> bool:
    """Take one to run it; False if somebody else has it, or it was given up."""
    rows = select(tx, "backtest_take", backtest_id=backtest_id, dead_s=DEAD_S)
    return bool(rows) and rows[0]["status"] == "running"


def beat(tx: Connection[TupleRow], backtest_id: str, events: int) -> None:
    """Say that it still runs, and how many events were read."""
    execute(tx, "backtest_beat", backtest_id=backtest_id, events=events)


def end_backtest(
    tx: Connection[TupleRow],
    backtest_id: str,
    events: int,
    result: Mapping[str, Any] | None,
    reason: str = "",
) -> None:
    """Write what came of it; without a result it failed for `reason`."""
    execute(
        tx,
        "backtest_end",
        backtest_id=backtest_id,
        status="failed" if result is None else "done",
        events=events,
        result=None if result is None else json.dumps(result),
        reason=reason[:500],
    )
