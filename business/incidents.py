"""Gather findings into incidents that people work on: status, assignee, verdict, notes.

Findings of one (entity, rule) less than an hour apart are one incident. A closed incident stays
closed: the next finding opens a new one.
"""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

import msgspec

from business._event import Event, Transaction
from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.schema.finding import Level
from storage.tenant import Scope

TOPICS: Final = ("findings",)
WINDOW_S: Final = 3600
LONGEST_NOTE: Final = 10_000
LONGEST_NAME: Final = 200

LEVELS: Final[tuple[str, ...]] = get_args(Level)
"""From harmless to gravest."""

Status = Literal["open", "in_progress", "closed"]
Verdict = Literal["true_positive", "false_positive", "benign"]
_HOUSE: Final = uuid.UUID("6f1d1f0e-5b1e-5c1c-9c5e-2f9a6f0f7a11")
"""Name space of incident ids; never changes, ids would."""


class VersionConflict(InvalidInput):
    """Somebody else changed the incident since it was read: read it again, then decide."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a person wants changed; None leaves a thing as it is, '' empties it."""

    status: Status | None = None
    verdict: Verdict | Literal[""] | None = None
    assignee: str | None = None


class _Finding(msgspec.Struct):
    tenant_id: str
    finding_id: str
    title: str
    level: str
    time_us: int
    entity_type: str
    entity: str
    rule_id: str


def handle(scope: Scope, tx: Transaction, event: Event) -> None:
    """Put the finding into the incident it belongs to, or open one; a repeat changes nothing."""
    finding, at = _read(event, scope.tenant_id)
    group = {
        "entity_type": finding.entity_type,
        "entity": finding.entity,
        "rule_id": finding.rule_id,
    }
    select(tx, "incident_lock_group", **group)
    if select(tx, "incident_of_finding", finding_id=finding.finding_id):
        return  # in one already, maybe closed by now: a repeat must not open another
    found = select(tx, "incident_of_group", **group, time=at, window_s=WINDOW_S)
    if found:
        incident_id, level = str(found[0]["incident_id"]), str(found[0]["level"])
    else:
        incident_id, level = incident_id_for(scope.tenant_id, finding.finding_id), finding.level
        execute(
            tx,
            "incident_open",
            **group,
            incident_id=incident_id,
            title=f"{finding.title} on {finding.entity}"[:300],
            level=level,
            time=at,
        )
    if execute(tx, "incident_add_finding", incident_id=incident_id, finding_id=finding.finding_id):
        gravest = max(level, finding.level, key=LEVELS.index)
        execute(tx, "incident_grow", incident_id=incident_id, time=at, level=gravest)


def incident_id_for(tenant_id: str, finding_id: str) -> str:
    """Derive the id of the incident that a finding opens: the same finding, the same incident.

    >>> incident_id_for("acme", "1e308ad8-6136-6a93-1f05-b909039aa264")
    '630d6ced-9d4f-5196-a6c2-dbc105c8e476'
    """
    return str(uuid.uuid5(_HOUSE, f"{tenant_id}\x1f{finding_id}"))


def _read(event: Event, tenant_id: str) -> tuple[_Finding, datetime]:
    try:
        finding = msgspec.convert(dict(event.data), _Finding)
        uuid.UUID(finding.finding_id)
        at = datetime.fromtimestamp(finding.time_us / 1_000_000, UTC)
    except (msgspec.ValidationError, ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"event {event.event_id} holds no finding: {error}") from error
    if finding.tenant_id != tenant_id:
        raise InvalidInput(f"finding {finding.finding_id} is of another tenant than its message")
    if finding.level not in LEVELS:
        raise InvalidInput(f"finding {finding.finding_id}: level {finding.level[:40]!r} is unknown")
    return finding, at


def change(
    scope: Scope, tx: Transaction, incident_id: str, wanted: Change, version: int
) -> dict[str, Any]:
    """Change an incident that still stands at `version`; give it as it is then.

    VersionConflict when somebody was quicker, NotFound when there is none, NotAllowed without
    `incidents:write`. A verdict may be given at any time; closing without one is allowed.
    """
    scope.require("incidents:write")
    before = get(scope, tx, incident_id)
    changed = execute(
        tx,
        "incident_change",
        incident_id=incident_id,
        version=version,
        status=wanted.status,
        verdict=wanted.verdict or None,
        clear_verdict=wanted.verdict == "",
        assignee=(wanted.assignee or "")[:LONGEST_NAME] or None,
        clear_assignee=wanted.assignee == "",
    )
    if not changed:
        raise VersionConflict(
            f"incident {incident_id} is at version {before['version']}, not {version}; "
            "read it again and decide anew"
        )
    after = get(scope, tx, incident_id)
    names = ("status", "verdict", "assignee")
    write_audit(
        tx,
        scope,
        "incident.change",
        incident_id,
        detail={n: [before[n], after[n]] for n in names if before[n] != after[n]},
    )
    return after


def assign(
    scope: Scope, tx: Transaction, incident_id: str, assignee: str, version: int
) -> dict[str, Any]:
    """Give the incident to somebody; '' gives it back to nobody."""
    return change(scope, tx, incident_id, Change(assignee=assignee), version)


def set_status(
    scope: Scope, tx: Transaction, incident_id: str, status: Status, version: int
) -> dict[str, Any]:
    """Move the incident to open, in_progress or closed."""
    return change(scope, tx, incident_id, Change(status=status), version)


def set_verdict(
    scope: Scope, tx: Transaction, incident_id: str, verdict: Verdict, version: int
) -> dict[str, Any]:
    """Say what it was: true_positive, false_positive or benign."""
    return change(scope, tx, incident_id, Change(verdict=verdict), version)


def add_note(scope: Scope, tx: Transaction, incident_id: str, body: str) -> str:
    """Write a note under the incident; give the note's id. Notes are never edited."""
    scope.require("incidents:write")
    text = body.strip()
    if not text or len(text) > LONGEST_NOTE or "\x00" in text:
        raise InvalidInput(f"a note has 1 to {LONGEST_NOTE} characters")
    get(scope, tx, incident_id)
    note_id = new_id(time.time_ns() // 1000)
    execute(
        tx,
        "incident_note_add",
        incident_id=incident_id,
        note_id=note_id,
        author=scope.actor.name,
        body=text,
    )
    write_audit(tx, scope, "incident.note", incident_id, detail={"note_id": note_id})
    return note_id


def get(scope: Scope, tx: Transaction, incident_id: str) -> dict[str, Any]:
    """Give one incident as a row; NotFound when this tenant has none of that id."""
    scope.require("incidents:read")
    rows = select(tx, "incident_get", incident_id=incident_id)
    if not rows:
        raise NotFound(f"incident {incident_id} is not there")
    return dict(rows[0])
