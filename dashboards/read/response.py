"""Read how an agent stands to its policy, and what was asked of it; ask, in the words of a form."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.agent_actions import actions, ask
from api.agent_policy import Policy, agent_uuid, wanted_policy
from dashboards.console import Console
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

Row = dict[str, Any]
WHAT: Final = {
    "query": "Table: processes, sockets, users, packages, or files and a path",
    "isolate": "",
    "block_ip": "Address or network",
    "block_hash": "SHA-256 of the program",
    "collect": "Path of the file",
    "maps": "process.uid, as its events and the table of processes have it",
    "suspend": "process.uid, as its events and the table of processes have it",
    "kill": "process.uid, as its events and the table of processes have it",
}
"""What each kind of action is about, as the form asks for it; '' asks for nothing."""
WORDS: Final = {
    "query": "Ask a table",
    "isolate": "Isolate the host",
    "block_ip": "Block an address",
    "block_hash": "Block a program by its hash",
    "collect": "Collect a file",
    "maps": "Collect a memory map",
    "suspend": "Suspend a process tree",
    "kill": "End a process tree",
    "undo": "Undo",
}
_FIELD: Final = {
    "block_ip": "address",
    "block_hash": "sha256",
    "collect": "path",
    "maps": "process",
    "suspend": "process",
    "kill": "process",
}
TIMED: Final = frozenset({"isolate", "block_ip", "block_hash"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands: its row, the policy it should run, what was asked of it."""

    agent: Row
    policy: Policy
    actions: list[Row]


def standing(database: Database, scope: Scope, agent_id: str) -> Standing:
    """Give it; NotFound for an agent that is not this tenant's."""
    scope.require("ops:read")
    named = agent_uuid(agent_id)
    with database.app(scope) as tx:
        rows = select(tx, "agent_standing", agent_id=named)
    if not rows:
        raise NotFound("There is no such agent here.")
    found = actions(database, scope, named)
    return Standing(rows[0], wanted_policy(database, scope, named), found)


def agents_of(database: Database, scope: Scope, host: str) -> list[Row]:
    """Give the agents that are let in under a host's name."""
    if not scope.may("ops:read"):
        return []
    with database.app(scope) as tx:
        return select(tx, "agents_of_host", host=host)


def arguments_of(kind: str, what: str, minutes: object) -> Row:
    """Read a form's fields as an action's arguments.

    >>> arguments_of("query", "files /etc", 60)
    {'table': 'files', 'path': '/etc'}
    >>> arguments_of("isolate", "", 30)
    {'minutes': 30}
    """
    said = what.strip()
    if kind == "query":
        table, _, path = said.partition(" ")
        return {"table": table, "path": path.strip()} if path.strip() else {"table": table}
    found: Row = {_FIELD[kind]: said} if kind in _FIELD else {}
    if kind in TIMED:
        try:
            found["minutes"] = int(str(minutes))
        except ValueError:
            raise InvalidInput("minutes: a whole number from 1 to 1440") from None
    return found


def ask_by_form(console: Console, scope: Scope, agent_id: str, form: Row, now: datetime) -> Row:
    """Ask for what a form says; InvalidInput names what is missing or wrong."""
    kind = str(form.get("kind") or "")
    if kind not in WHAT:
        raise InvalidInput("choose what to do")
    arguments = arguments_of(kind, str(form.get("what") or ""), form.get("minutes"))
    return ask(
        console.database,
        scope,
        agent_id,
        kind,
        arguments,
        now,
        note=str(form.get("note") or ""),
        is_dry=bool(form.get("is_dry")),
        incident_id=str(form.get("incident") or ""),
    )
