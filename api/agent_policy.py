"""Keep what agents should do: versions of a policy, for all agents of a tenant or for one.

A version is a number of the tenant's own that only grows. What is for one agent comes before what
is for all; taking it back is a version too, so that no agent ever sees a number go down.
"""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self, get_args

from psycopg import Connection
from psycopg.rows import TupleRow
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from api.action_kinds import Query
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

WRITE: Final = "policy:write"
MOST_AGENTS: Final = 1000
MOST_VERSIONS: Final = 200
LONGEST_NOTE: Final = 500
MOST_BYTES: Final = 240_000
"""Of a policy in a signed order; an agent reads 262,144 with signature and certificate."""
BEAT_S: Final = 15
"""How often an agent asks what there is to do, where no policy says otherwise."""
Kind = Literal[
    "isolate", "kill", "suspend", "collect", "maps", "block_ip", "block_hash", "query", "undo"
]
Collector = Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
WatchedPath = Annotated[str, Field(min_length=2, max_length=300, pattern=r"^/[^\x00-\x1f\x7f]+$")]


class ScheduledQuery(Query):
    """A question that agents ask of their host again and again; what differs is told as events."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,40}$", description="what rules know it by")
    every_s: int = Field(ge=60, le=86_400, description="seconds between two looks")

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        if (self.table == "files") != (self.path is not None):
            raise ValueError("path: the table 'files' needs one, the others take none")
        return self


class PolicyDocument(BaseModel):
    """What an agent does. What is left out stays as the host's own settings say."""

    model_config = ConfigDict(extra="forbid")
    off: list[Collector] = Field([], max_length=40, description="collectors that do not run")
    watch_paths: list[WatchedPath] = Field(
        [], max_length=200, description="files and folders that are watched; none: the agent's own"
    )
    every_s: dict[Collector, Annotated[float, Field(ge=1, le=86_400)]] = Field(
        {}, max_length=40, description="how often a collector looks"
    )
    spool_mb: int | None = Field(None, ge=16, le=65_536, description="bound of the spool")
    cpu_percent: int | None = Field(None, ge=1, le=100, description="of one core")
    beat_s: int = Field(BEAT_S, ge=5, le=300, description="how often it asks what there is to do")
    response: list[Kind] = Field(
        list(get_args(Kind)),
        max_length=9,
        description="kinds of actions that it takes",
    )
    queries: list[ScheduledQuery] = Field(
        [], max_length=20, description="what hosts are asked on a schedule"
    )
    four_eyes: bool = Field(True, description="a second person approves what changes a host")

    @field_validator("watch_paths")
    @classmethod
    def _no_way_up(cls, paths: list[str]) -> list[str]:
        if any(part == ".." for path in paths for part in path.split("/")):
            raise ValueError("a watched path has no '..'")
        return paths

    @field_validator("queries")
    @classmethod
    def _named_apart(cls, queries: list[ScheduledQuery]) -> list[ScheduledQuery]:
        if len({one.name for one in queries}) < len(queries):
            raise ValueError("each has a name of its own")
        return queries

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what no agent would read: the text is quoted twice in what is signed."""
        size = len(json.dumps(json.dumps(self.told())))
        if size > MOST_BYTES:
            raise ValueError(f"it has {size} bytes as agents are told it; {MOST_BYTES} at most")
        return self

    def told(self) -> dict[str, Any]:
        """Give it as agents read it: what is not said is left out, as are words newer than they."""
        found = self.model_dump(exclude={"queries"})
        if self.queries:
            found["queries"] = [one.model_dump(exclude_none=True) for one in self.queries]
        return found


@dataclass(frozen=True, slots=True)
class Policy:
    """One version; `version` 0: nobody has said anything yet. `agent_id` None: of all agents."""

    version: int
    document: PolicyDocument
    agent_id: str | None = None
    made_by: str = ""
    made_at: datetime | None = None
    is_removed: bool = False
    note: str = ""


def read_document(text: str | bytes | dict[str, Any]) -> PolicyDocument:
    """Read a policy; InvalidInput names the field that is wrong and why."""
    try:
        if isinstance(text, dict):
            return PolicyDocument.model_validate(text)
        return PolicyDocument.model_validate_json(text)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "policy"
        raise InvalidInput(f"{place}: {first['msg']}") from None


def wanted_policy(database: Database, scope: Scope, agent_id: str | None = None) -> Policy:
    """Give what an agent (None: one without a policy of its own) should run."""
    with database.app(scope) as tx:
        return wanted_in(tx, agent_id)


def wanted_in(tx: Connection[TupleRow], agent_id: str | None) -> Policy:
    """Give what an agent should run, inside the caller's transaction."""
    return _wanted([_policy(r) for r in select(tx, "agent_policies_newest", agent_id=agent_id)])


def _wanted(found: list[Policy]) -> Policy:
    """Take the agent's own if there is one; the number never goes down when it is taken back."""
    own = next((p for p in found if p.agent_id is not None), None)
    if own is not None and not own.is_removed:
        return own
    everyone = next((p for p in found if p.agent_id is None), None)
    version = max((p.version for p in found), default=0)
    document = everyone.document if everyone is not None else PolicyDocument.model_validate({})
    named = everyone or own
    if named is None:
        return Policy(0, document)
    return Policy(version, document, None, named.made_by, named.made_at, note=named.note)


def set_policy(
    database: Database,
    scope: Scope,
    document: PolicyDocument,
    now: datetime,
    agent_id: str | None = None,
    note: str = "",
) -> Policy:
    """Keep a new version for all agents, or for one; audited. Needs `policy:write`.

    NotFound for an agent that is not this tenant's. What is the same as before makes no version.
    """
    return _kept(database, scope, document, now, agent_id, note, is_removed=False)


def remove_policy(database: Database, scope: Scope, agent_id: str, now: datetime) -> Policy:
    """Take an agent's own policy back: it follows the one for all again; audited."""
    empty = PolicyDocument.model_validate({})
    return _kept(database, scope, empty, now, agent_id, "", is_removed=True)


def _kept(
    database: Database,
    scope: Scope,
    document: PolicyDocument,
    now: datetime,
    agent_id: str | None,
    note: str,
    *,
    is_removed: bool,
) -> Policy:
    scope.require(WRITE)
    if len(note) > LONGEST_NOTE or not note.isprintable():
        raise InvalidInput(f"the note has up to {LONGEST_NOTE} printable characters")
    named = agent_uuid(agent_id) if agent_id else None
    with database.app(scope) as tx:
        execute(tx, "agent_policies_alone")
        if named and not select(tx, "agent_is_enrolled", agent_id=named):
            raise NotFound(f"agent {named} is not there")
        found = [_policy(row) for row in select(tx, "agent_policies_newest", agent_id=named)]
        before = next((p for p in found if p.agent_id == named), None)
        if before is not None and (before.document, before.is_removed) == (document, is_removed):
            return before
        made_by = scope.actor.name
        (row,) = select(
            tx,
            "agent_policy_add",
            agent_id=named,
            document=document.model_dump_json(),
            is_removed=is_removed,
            note=note,
            made_by=made_by,
            made_behind=scope.actor.person,
            now=now,
        )
        version = int(str(row["version"]))
        was = before.document.model_dump() if before else {}
        told = {"version": version, "changed": _changed(was, document.model_dump()), "note": note}
        action = "agent.policy-remove" if is_removed else "agent.policy-set"
        write_audit(tx, scope, action, named or "all agents", detail=told)
    return Policy(version, document, named, made_by, now, is_removed, note)


def _changed(was: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Give what is new, field by field, as the trail keeps it."""
    changed = {name: value for name, value in now.items() if was.get(name) != value}
    text = json.dumps(changed)
    return changed if len(text) < 4000 else {"fields": sorted(changed)}


def policies(database: Database, scope: Scope) -> list[Policy]:
    """Give the versions there were, the newest first. Needs `ops:read`."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        rows = select(tx, "agent_policies_history", limit=MOST_VERSIONS)
    return [_policy(row) for row in rows]


def wanted_versions(database: Database, scope: Scope) -> dict[str, int]:
    """Give the version that each agent should run. Needs `ops:read`."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        rows = select(tx, "agent_policies_wanted", limit=MOST_AGENTS)
    return {str(row["agent_id"]): int(str(row["version"])) for row in rows}


def _policy(row: dict[str, Any]) -> Policy:
    return Policy(
        int(row["version"]),
        # What was kept by another release may lack a field, or have one that is gone.
        PolicyDocument.model_validate(
            {k: v for k, v in row["document"].items() if k in PolicyDocument.model_fields}
        ),
        row["agent_id"],
        str(row["made_by"]),
        row["made_at"],
        bool(row["is_removed"]),
        str(row["note"]),
    )


def agent_uuid(text: str) -> str:
    """Give an agent's id as the ledger writes it; NotFound if it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f"agent {text[:40]!r} is not there") from None
