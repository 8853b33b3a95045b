"""Read the verdicts of configuration checks: the latest of each host, and how they changed."""

from typing import Any, Final

from api.agent_policy import agent_uuid
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

MOST: Final = 1000
READ: Final = "ops:read"
Row = dict[str, Any]


def checks(
    database: Database, scope: Scope, agent_id: str = "", only_failed: bool = False
) -> list[Row]:
    """Give the latest verdict of each check of each host (or of one agent's), failed ones first."""
    scope.require(READ)
    named = agent_uuid(agent_id) if agent_id else None
    with database.app(scope) as tx:
        words = {"agent_id": named, "only_failed": only_failed, "limit": MOST}
        return select(tx, "agent_checks_now", **words)


def history(database: Database, scope: Scope, agent_id: str, check_uid: str = "") -> list[Row]:
    """Give the verdicts of an agent's host, the newest first; of one check if it is named."""
    scope.require(READ)
    with database.app(scope) as tx:
        words = {"agent_id": agent_uuid(agent_id), "check_uid": check_uid, "limit": MOST}
        return select(tx, "agent_checks_history", **words)


def counts(database: Database, scope: Scope) -> Row:
    """Give how many checks there are, how many failed, of how many hosts."""
    scope.require(READ)
    with database.app(scope) as tx:
        return select(tx, "agent_checks_counts")[0]
