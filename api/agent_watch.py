"""Judge what is missing in agents' streams, and notice agents that went silent: told as events."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from api.agent_words import tell_of
from storage.database import Database
from storage.database.queries import execute, select
from storage.tenant import Scope, system_scope

GRACE: Final = timedelta(seconds=20)
"""So long an agent may take to tell that it dropped the rows itself."""
SILENT_AFTER: Final = timedelta(minutes=5)
TOLD_EVERY: Final = timedelta(hours=1)
"""Of one stream and fault one event in this time; what comes meanwhile is added up."""
KEPT: Final = timedelta(days=90)
MOST: Final = 500
MOST_SHOWN: Final = 50
_MOST_READ: Final = 10_000
_WORDS: Final = {
    "gap": ("agent_gap", "records {first} to {last} of {stream} never came: {records} are missing"),
    "back": (
        "agent_numbers_back",
        "{records} records of {stream} came with numbers that were taken before, from {first} on",
    ),
    "other": (
        "agent_numbers_back",
        "records {first} to {last} of {stream} came a second time with another content",
    ),
}


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of a stream that never came, from `first` to before `next`; `records` are missing."""

    gap_id: str
    first: int
    next: int
    records: int


def watch(database: Database, now: datetime, may_judge_silence: bool) -> dict[str, int]:
    """Look once at all tenants' agents; give how many events were told of which kind.

    `may_judge_silence`: not in a house that has just begun itself, which nobody can have reached.
    """
    counts: dict[str, int] = {}
    heard_before = now - (SILENT_AFTER if may_judge_silence else timedelta(days=36_500))
    with database.writer() as tx:
        words = {"before": now - GRACE, "heard_before": heard_before}
        tenants = [str(row["tenant_id"]) for row in select(tx, "agents_to_watch", **words)]
    for tenant in tenants:
        scope = system_scope(tenant, "agent watch")
        with database.app(scope) as tx:
            # Rows of agents first: whoever tells of one has its row before the place in the source.
            told = [*_silent(tx, scope, now, heard_before), *_gaps(tx, scope, now)]
        for code in told:
            counts[code] = counts.get(code, 0) + 1
    return counts


def gaps_of(database: Database, scope: Scope, agent_id: str) -> list[dict[str, Any]]:
    """Give what was wrong with an agent's numbers, the newest first; explained as is known now."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        rows = select(tx, "agent_gaps_of", agent_id=agent_id, limit=MOST_SHOWN)
        for row in rows:
            if row["kind"] == "gap":
                row["explained"] = _explained(tx, row)
    return rows


def forget(database: Database, now: datetime) -> None:
    """Forget streams that moved last, and gaps and drops that were told, three months ago."""
    with database.writer() as tx:
        for query in ("agent_streams_forget", "agent_gaps_forget", "agent_drops_forget"):
            execute(tx, query, before=now - KEPT)


def _gaps(tx: Connection[TupleRow], scope: Scope, now: datetime) -> list[str]:
    due = select(tx, "agent_gaps_due", before=now - GRACE, told_since=now - TOLD_EVERY, limit=MOST)
    told = []
    for row in due:
        explained = _explained(tx, row) if row["kind"] == "gap" else 0
        done = {"gap_id": row["gap_id"], "now": now, "explained": explained}
        if execute(tx, "agent_gap_judged", **done) and explained < int(str(row["records"])):
            told.append(_tell_gap(tx, scope, row, explained, now))
    return told


def _tell_gap(
    tx: Connection[TupleRow], scope: Scope, row: dict[str, Any], explained: int, now: datetime
) -> str:
    code, words = _WORDS[row["kind"]]
    first, last = int(row["first_position"]), int(row["next_position"]) - 1
    stream = str(row["source"]).split(":", 2)[-1]
    records = int(row["records"]) - explained
    said = words.format(first=first, last=last, stream=stream, records=records)
    where: dict[str, str | int] = {"stream": stream, "first": first, "last": last}
    agent = row["agent_id"], row["host"]
    tell_of(tx, scope, code, agent, said, _us(now), records=records, kind=row["kind"], **where)
    return code


def _explained(tx: Connection[TupleRow], row: dict[str, Any]) -> int:
    source = {"source": row["source"], "limit": _MOST_READ}
    gaps = [
        Gap(g["gap_id"], g["first_position"], g["next_position"], g["records"])  # type: ignore[arg-type]  # as the columns are
        for g in select(tx, "agent_gaps_in", **source)
    ]
    drops = select(tx, "agent_drops_in", **source)
    pairs = [(int(str(d["first_position"])), int(str(d["records"]))) for d in drops]
    return explained_by(gaps, pairs).get(str(row["gap_id"]), 0)


def explained_by(gaps: Iterable[Gap], drops: Iterable[tuple[int, int]]) -> dict[str, int]:
    """Say how many records of each gap the agent told that it dropped itself.

    `gaps` and `drops` (first number, how many) of one stream, by their first numbers. One drop may
    be of several gaps: an agent adds up what it lost since it told last.

    >>> explained_by([Gap("a", 5, 8, 3), Gap("b", 20, 24, 4)], [(5, 5)])
    {'a': 3, 'b': 2}
    >>> explained_by([Gap("a", 5, 8, 3)], [(9, 5)])
    {'a': 0}
    """
    found: dict[str, int] = {}
    waiting, place, room = sorted(drops), 0, 0
    oldest = None
    for gap in sorted(gaps, key=lambda g: (g.first, g.gap_id)):
        oldest = gap.first if oldest is None else oldest
        while place < len(waiting) and waiting[place][0] < gap.next:
            room += waiting[place][1] if waiting[place][0] >= oldest else 0
            place += 1
        found[gap.gap_id] = min(room, gap.records)
        room -= found[gap.gap_id]
    return found


def _silent(
    tx: Connection[TupleRow], scope: Scope, now: datetime, heard_before: datetime
) -> list[str]:
    told = []
    gone = select(tx, "agents_gone_silent", now=now, heard_before=heard_before)
    again = select(tx, "agents_heard_again")
    for row in gone:
        agent = str(row["agent_id"]), str(row["host"])
        seen = row["seen_at"]
        words = f"the agent of {row['host']} is silent: last heard {seen:%Y-%m-%d %H:%M:%S} UTC"
        tell_of(tx, scope, "agent_silent", agent, words, _us(now))
        told.append("agent_silent")
    for row in again:
        agent = str(row["agent_id"]), str(row["host"])
        words = f"the agent of {row['host']} speaks again"
        tell_of(tx, scope, "agent_heard_again", agent, words, _us(now))
        told.append("agent_heard_again")
    return told


def _us(now: datetime) -> int:
    return int(now.timestamp() * 1_000_000)
