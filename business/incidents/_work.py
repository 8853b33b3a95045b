"""Let people work on incidents: status, verdict, assignee, notes, merging, opening by hand."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from business._event import Transaction
from business._fact import Fact, announce
from business.incidents._claims import LEVELS, LONGEST_TITLE, enter_stored
from business.incidents._join import incident_id_for, merge_into, refresh
from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.tenant import Scope

LONGEST_NOTE: Final = 10_000
LONGEST_NAME: Final = 200
MOST_BY_HAND: Final = 500
_MOST_TOLD: Final = 1_000

Status = Literal["open", "in_progress", "closed"]
Verdict = Literal["true_positive", "false_positive", "benign"]


class VersionConflict(InvalidInput):
    """Somebody else changed the incident since it was read: read it again, then decide."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a person wants changed; None leaves a thing as it is, '' empties it."""

    status: Status | None = None
    verdict: Verdict | Literal[""] | None = None
    assignee: str | None = None


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
    if after["verdict"] and after["verdict"] != before["verdict"]:
        _tell_verdict(scope, tx, incident_id, after)
    return after


def _tell_verdict(
    scope: Scope, tx: Transaction, incident_id: str, incident: dict[str, Any]
) -> None:
    """Tell the detectors what the incident's claims were judged to be: models learn from it."""
    rows = select(tx, "incident_finding_ids", incident_id=incident_id, limit=_MOST_TOLD)
    now_us = time.time_ns() // 1000
    data = {
        "document.uid": incident_id,
        "document.status": str(incident["verdict"]),
        "actor.user.name": scope.actor.name,
        "findings": "\n".join(str(row["finding_id"]) for row in rows),
    }
    fact = Fact("incidents", "incident", "Judge", data, incident_id)
    announce(scope, tx, "incidents", fact, now_us)


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


def merge(scope: Scope, tx: Transaction, into_id: str, from_id: str) -> dict[str, Any]:
    """Move the claims and notes of one incident into another that people work on; give that one.

    What is merged already changes nothing. NotFound; InvalidInput for one and the same, a target
    that is closed or merged itself; NotAllowed without `incidents:write`.
    """
    scope.require("incidents:write")
    select(tx, "incident_lock")
    source = get(scope, tx, from_id)
    into = get(scope, tx, into_id)
    if into_id == from_id:
        raise InvalidInput(f"incident {into_id} cannot be merged into itself")
    if source["merged_into"] == into_id:
        return into
    for row in (into, source):
        if row["merged_into"]:
            raise InvalidInput(
                f"incident {row['incident_id']} was merged into {row['merged_into']}"
            )
    if not select(tx, "incident_take", ids=[into_id]):
        raise InvalidInput(f"incident {into_id} is closed; open it again, then merge into it")
    merge_into(tx, into_id, from_id)
    refresh(tx, into_id)
    write_audit(tx, scope, "incident.merge", into_id, detail={"from": from_id})
    return get(scope, tx, into_id)


def unlink(scope: Scope, tx: Transaction, incident_id: str, finding_id: str) -> dict[str, Any]:
    """Take a finding out of an incident for good: it joins nothing by itself any more.

    What it had drawn in stays. NotFound when it is not in the incident.
    """
    scope.require("incidents:write")
    select(tx, "incident_lock")
    get(scope, tx, incident_id)
    if not execute(tx, "incident_drop_claims", incident_id=incident_id, ids=[finding_id]):
        raise NotFound(f"finding {finding_id} is not in incident {incident_id}")
    enter_stored(tx, scope.tenant_id, [finding_id])
    execute(tx, "incident_leave_out", finding_id=finding_id)
    refresh(tx, incident_id)
    write_audit(tx, scope, "incident.unlink", incident_id, detail={"finding_id": finding_id})
    return get(scope, tx, incident_id)


def link(scope: Scope, tx: Transaction, incident_id: str, finding_id: str) -> dict[str, Any]:
    """Put a finding (back) into an incident: it leaves the one it is in, and spreads as it did.

    NotFound for a finding or an incident not there; InvalidInput where that one was merged.
    """
    scope.require("incidents:write")
    select(tx, "incident_lock")
    if get(scope, tx, incident_id)["merged_into"]:
        raise InvalidInput(f"incident {incident_id} was merged into another one")
    if not select(tx, "incident_findings_known", ids=[finding_id]):
        raise NotFound(f"finding {finding_id} is not there")
    enter_stored(tx, scope.tenant_id, [finding_id])
    for row in select(tx, "incident_live_of_findings", ids=[finding_id]):
        execute(tx, "incident_drop_claims", incident_id=row["incident_id"], ids=[finding_id])
        refresh(tx, str(row["incident_id"]))
    execute(tx, "incident_take_back_in", ids=[finding_id])
    added = {"ids": [finding_id], "vias": [None], "gaps": [0]}
    execute(tx, "incident_add_claims", incident_id=incident_id, **added)
    refresh(tx, incident_id)
    write_audit(tx, scope, "incident.link", incident_id, detail={"finding_id": finding_id})
    return get(scope, tx, incident_id)


def unmerge(
    scope: Scope, tx: Transaction, into_id: str, from_id: str, kept: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Take a merge back: the incident stands by itself again with what it held; give it.

    `kept`: `findings` and `notes`, ids of what it held before; of these, what has left `into_id`
    meanwhile stays where it is. InvalidInput where the one was not merged into the other.
    """
    scope.require("incidents:write")
    select(tx, "incident_lock")
    get(scope, tx, into_id)
    moved = {"into_id": into_id, "from_id": from_id}
    if not execute(tx, "incident_unmerge", **moved):
        raise InvalidInput(f"incident {from_id} is not merged into {into_id}")
    execute(tx, "incident_unmerge_claims", **moved, ids=list(kept["findings"]))
    execute(tx, "incident_unmerge_notes", **moved, ids=list(kept["notes"]))
    refresh(tx, into_id)
    refresh(tx, from_id)
    for which, other in ((into_id, from_id), (from_id, into_id)):
        write_audit(tx, scope, "incident.unmerge", which, detail={"other": other})
    return get(scope, tx, from_id)


def open_by_hand(
    scope: Scope, tx: Transaction, title: str, finding_ids: Sequence[str], undoes: str = ""
) -> dict[str, Any]:
    """Make one incident of the findings chosen, under a name of one's own; give it.

    They leave the incidents they are in; one left empty leads on to the new one. The same choice
    again gives the same incident, or another one where it `undoes` an incident (its id): the one
    that the findings came from may lead on to that by now. NotFound for a finding not there.
    """
    scope.require("incidents:write")
    name = title.strip()
    if not name or len(name) > LONGEST_TITLE or "\x00" in name:
        raise InvalidInput(f"a title has 1 to {LONGEST_TITLE} characters")
    ids = sorted({str(uuid.UUID(f)) for f in finding_ids})
    if not 0 < len(ids) <= MOST_BY_HAND:
        raise InvalidInput(f"an incident is made of 1 to {MOST_BY_HAND} findings")
    select(tx, "incident_lock")
    known = {row["finding_id"] for row in select(tx, "incident_findings_known", ids=ids)}
    if missing := [f for f in ids if f not in known]:
        raise NotFound(f"finding {missing[0]} is not there")
    enter_stored(tx, scope.tenant_id, ids)
    # By a name of its own: one finding alone may have opened an incident under its own id.
    which = incident_id_for(scope.tenant_id, "\x1f".join(["by hand", *ids, undoes]))
    gravest = select(tx, "incident_gravest", ids=ids, levels=list(LEVELS))[0]
    if not execute(tx, "incident_open", incident_id=which, title=name, is_named=True, **gravest):
        return get(scope, tx, which)
    left = [str(r["incident_id"]) for r in select(tx, "incident_live_of_findings", ids=ids)]
    for other in left:
        execute(tx, "incident_drop_claims", incident_id=other, ids=ids)
        refresh(tx, other)
    execute(tx, "incident_take_back_in", ids=ids)
    gaps = [0] * len(ids)
    vias = [None] * len(ids)
    execute(tx, "incident_add_claims", incident_id=which, ids=ids, vias=vias, gaps=gaps)
    for other in left:
        if not get(scope, tx, other)["finding_count"]:
            merge_into(tx, which, other)
    refresh(tx, which)
    write_audit(tx, scope, "incident.open", which, detail={"title": name, "findings": len(ids)})
    return get(scope, tx, which)


def timeline(
    scope: Scope, tx: Transaction, incident_id: str, limit: int = 500
) -> list[dict[str, Any]]:
    """Give the incident's claims, oldest first, at most `limit`.

    Columns: finding_id, time, title, level, kind, rule_id, detector, entity_type, entity,
    event_count, parts, via (the claim that drew it in, None if it spreads itself).
    """
    scope.require("incidents:read")
    return select(tx, "incident_timeline", incident_id=incident_id, limit=limit)


def entities(
    scope: Scope, tx: Transaction, incident_id: str, limit: int = 100
) -> list[dict[str, Any]]:
    """Give whom the incident is about, the accused first, then those in most of its claims.

    Columns: entity_type, entity (canonical), claims, first_time, last_time, is_accused (a grave
    finding is about it), is_core (it stands in a claim that spreads).
    """
    scope.require("incidents:read")
    return select(tx, "incident_entities_of", incident_id=incident_id, limit=limit)
