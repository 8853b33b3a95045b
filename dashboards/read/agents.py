"""Read which hosts are watched: agents enrolled or shipping, hosts that events tell of."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.agent_watch import SILENT_AFTER
from api.authority import authority_of
from api.enrolment import create_enrolment_token
from dashboards.console import Console
from storage.database import Database
from storage.database.queries import select
from storage.sealing import Seal
from storage.tenant import Scope

Row = dict[str, Any]
QUERY_MS: Final = "10000"
MOST: Final = 1000
HOST_SPAN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Agent:
    """Describe one installed agent: its streams put together, and its papers if it has any."""

    agent_id: str
    host: str
    streams: tuple[str, ...]
    events: int
    rejected: int
    last_seen: datetime | None
    papers: Row | None = None

    def state(self, now: datetime) -> str:
        """Give its state in one word: revoked, cloned, waits, ended, enrolled, silent, sending."""
        papers = self.papers or {}
        if papers.get("revoked_at"):
            return "revoked"
        if papers.get("cloned_at"):
            return "cloned"
        if papers.get("waits_since"):
            return "waits"
        if papers and papers["not_after"] < now:
            return "ended"
        if self.last_seen is None:
            return "enrolled"
        return "silent" if now - self.last_seen > SILENT_AFTER else "sending"


@dataclass(frozen=True, slots=True)
class Watched:
    """Describe a host that events tell of, whoever sends them."""

    host: str
    events: int
    last_seen: datetime


def agents(database: Database, scope: Scope) -> list[Agent]:
    """Give the agents that are enrolled or ever shipped, the latest heard first."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        rows = select(tx, "pages_agents", limit=MOST)
        enrolled = select(tx, "agents_all", limit=MOST)
    held: dict[str, list[Row]] = {str(row["agent_id"]): [] for row in enrolled}
    for row in rows:
        _, agent_id, *_ = [*str(row["source"]).split(":", 2), ""]
        held.setdefault(agent_id.partition(".")[0], []).append(row)
    papers = {str(row["agent_id"]): row for row in enrolled}
    found = [_agent(agent_id, streams, papers.get(agent_id)) for agent_id, streams in held.items()]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda a: a.last_seen or never, reverse=True)


def _agent(agent_id: str, rows: list[Row], papers: Row | None) -> Agent:
    told = str(rows[0]["name"]).partition(":")[0] if rows else ""
    seen = [r["updated_at"] for r in rows]
    if papers and papers["seen_at"]:
        seen.append(papers["seen_at"])
    return Agent(
        agent_id=agent_id,
        host=told or (str(papers["host"]) if papers else agent_id[:12]),
        streams=tuple(sorted({str(r["source"]).split(":", 2)[-1] for r in rows})),
        events=sum(int(r["events"]) for r in rows),
        rejected=sum(int(r["rejected"]) for r in rows),
        last_seen=max(seen, default=None),
        papers=papers,
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


def let_in(console: Console, scope: Scope, host: str) -> tuple[str, str]:
    """Make what one host enrols with: a token that works once, and the authority's fingerprint.

    InvalidInput for an empty or odd name; NotAllowed without `tokens:write`. Audited.
    """
    authority = authority_of(console.database, Seal.of(console.settings), console.now())
    return create_enrolment_token(console.database, scope, host), authority.fingerprint
