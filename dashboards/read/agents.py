"""Read which hosts are watched: agents that ship, hosts that events tell of, tokens made here."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from api.auth import create_token
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.tenant import Role, Scope

Row = dict[str, Any]
QUERY_MS: Final = "10000"
MOST: Final = 1000
SILENT_AFTER: Final = timedelta(minutes=5)
HOST_SPAN: Final = timedelta(days=1)
TOKEN_TTL_S: Final = 30 * 24 * 3600
_PREFIX: Final = "host:"


@dataclass(frozen=True, slots=True)
class Agent:
    """Describe one installed agent: its streams put together."""

    agent_id: str
    host: str
    streams: tuple[str, ...]
    events: int
    rejected: int
    last_seen: datetime

    def is_silent(self, now: datetime) -> bool:
        """Answer whether it has sent nothing for longer than it should."""
        return now - self.last_seen > SILENT_AFTER


@dataclass(frozen=True, slots=True)
class Watched:
    """Describe a host that events tell of, whoever sends them."""

    host: str
    events: int
    last_seen: datetime


def agents(database: Database, scope: Scope) -> list[Agent]:
    """Give the agents that ever shipped, the latest heard first."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rows = select(tx, "pages_agents", limit=MOST)
    held: dict[str, list[Row]] = {}
    for row in rows:
        _, agent_id, *_ = [*str(row["source"]).split(":", 2), ""]
        held.setdefault(agent_id, []).append(row)
    return [_agent(agent_id, streams) for agent_id, streams in held.items()]


def _agent(agent_id: str, rows: list[Row]) -> Agent:
    host = str(rows[0]["name"]).partition(":")[0]
    streams = sorted(str(r["source"]).split(":", 2)[-1] for r in rows)
    return Agent(
        agent_id=agent_id,
        host=host or agent_id[:12],
        streams=tuple(streams),
        events=sum(int(r["events"]) for r in rows),
        rejected=sum(int(r["rejected"]) for r in rows),
        last_seen=max(r["updated_at"] for r in rows),
    )


def watched(
    database: Database, scope: Scope
) -> tuple[list[Watched], datetime | None, datetime | None]:
    """Give the hosts of the last day of events, the busiest first, its end, the newest arrival."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        newest = select(tx, "pages_newest_window")[0]["newest"]
        if not isinstance(newest, datetime):
            return [], None, None
        since = newest - HOST_SPAN
        arrived = select(tx, "pages_source_totals")[0]["updated_at"]
        rows = select(tx, "pages_hosts", since=since, limit=MOST)
    found = [Watched(str(r["host"]), int(str(r["events"])), _time(r["last_time"])) for r in rows]
    return found, newest, arrived if isinstance(arrived, datetime) else None


def _time(value: object) -> datetime:
    assert isinstance(value, datetime)  # noqa: S101  a NOT NULL column
    return value


def add_host(database: Database, scope: Scope, host: str) -> str:
    """Make a token with which one host can send events and do nothing else; shown once, 30 days.

    InvalidInput for an empty or odd name; NotAllowed without `tokens:write`; written to the audit
    trail in the same transaction.
    """
    name = host.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise InvalidInput("Give the host a name of 1 to 100 printable characters.")
    return create_token(database, scope, _PREFIX + name, [Role.INGEST], TOKEN_TTL_S)


def tokens(database: Database, scope: Scope) -> list[Row]:
    """Give the newest tokens that were made for hosts; never their text."""
    scope.require("tokens:write")
    with database.app(scope) as tx:
        return select(tx, "pages_agent_tokens")
