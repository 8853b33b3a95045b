"""Put a claim where it belongs: with the claims that share its entities, or that rest on it.

Claims that spread (high or critical findings, correlations and their parts) and share a joining
entity within a day are one incident, if one of them opens it; so are a correlation and its parts,
whatever their age. Every other claim joins the nearest in time of those it shares an entity with,
and draws nothing further in.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from business._event import Transaction
from business.incidents._claims import (
    LEVELS,
    Claim,
    enter,
    enter_stored,
    is_outside,
    title_of,
)
from storage.database.queries import execute, select
from storage.errors import InvalidInput

WINDOW_S: Final = 86_400
MOST_OTHERS: Final = 12
"""An entity beside more than so many others of one kind in a day joins nothing: a hub."""
MOST_INCIDENTS: Final = 5
LARGEST: Final = 1000
"""Claims that shared entities may bring into one incident."""
MOST_NOTES: Final = 20
"""Notes of the house's own in an incident, from which on it says no more why others joined it."""
_WIDEST: Final = 300
_NAMED: Final = 3
_HOUSE: Final = uuid.UUID("6f1d1f0e-5b1e-5c1c-9c5e-2f9a6f0f7a11")
"""Name space of incident ids; never changes, ids would."""

Entity = tuple[str, str, str]
"""Id of the claim, type and name of its entity."""


@dataclass(slots=True)
class _Cluster:
    """What spreads together: claims in no live incident, and the incidents of the others."""

    claims: set[str] = field(default_factory=set)
    incidents: set[str] = field(default_factory=set)
    tied: set[str] = field(default_factory=set)
    """Incidents that a correlation ties: merged however large they are."""
    shared: dict[str, set[str]] = field(default_factory=dict)
    """Incident -> names of the entities it was met by."""


def join(tx: Transaction, tenant_id: str, claim: Claim) -> None:
    """Enter the claim and put it, and what it draws in, into an incident; a repeat does nothing."""
    spreads = enter(tx, claim)
    if spreads is None:
        return
    if not spreads:
        _join_nearest(tx, claim)
        return
    seeds = [claim.finding_id]
    if claim.parts:
        seeds += enter_stored(tx, tenant_id, claim.parts)
        moved = select(tx, "incident_core_claims", ids=list(claim.parts))
        seeds += [str(row["finding_id"]) for row in moved]
    into = gather(tx, tenant_id, list(dict.fromkeys(seeds)), claim.finding_id)
    if claim.is_grave and into is None:
        raise InvalidInput(f"finding {claim.finding_id} is not in the ledger")


def incident_id_for(tenant_id: str, finding_id: str) -> str:
    """Derive the id of the incident that a finding opens: the same finding, the same incident.

    >>> incident_id_for("acme", "1e308ad8-6136-6a93-1f05-b909039aa264")
    '630d6ced-9d4f-5196-a6c2-dbc105c8e476'
    """
    return str(uuid.uuid5(_HOUSE, f"{tenant_id}\x1f{finding_id}"))


def _join_nearest(tx: Transaction, claim: Claim) -> None:
    rows = select(tx, "incident_nearest", finding_id=claim.finding_id, window_s=WINDOW_S)
    for row in sorted(_carrying(tx, rows), key=lambda r: (r["gap_us"], r["finding_id"])):
        taken = select(tx, "incident_take", ids=[row["incident_id"]])
        if not taken or _size(taken[0]) >= LARGEST:
            continue
        _add(tx, str(row["incident_id"]), [(claim.finding_id, row["finding_id"], row["gap_us"])])
        execute(
            tx,
            "incident_grow",
            incident_id=row["incident_id"],
            is_signal=claim.is_signal,
            time=claim.time,
            level=claim.level,
            levels=list(LEVELS),
        )
        return


def gather(tx: Transaction, tenant_id: str, seeds: Sequence[str], because_of: str) -> str | None:
    """Join what now spreads with what it meets; open an incident if one is due and none is there.

    `because_of`: id of the claim that came; a new incident's id is derived from it. Gives the
    incident, or None when nothing opens one: correlations below high wait for what does.
    """
    found = _spread(tx, seeds)
    taken = select(tx, "incident_take", ids=list(found.incidents))
    fitting = _fitting(taken, found, len(found.claims))
    if fitting:
        into, *merged = fitting
        titles = {str(row["incident_id"]): str(row["title"]) for row in taken}
        for other in merged:
            merge_into(tx, into, other)
            told = f'Joined with "{titles[other]}": {_why(found, into, other)}.'
            _note(tx, tenant_id, into, other, told)
    else:
        opener = select(tx, "incident_opener", ids=list(found.claims))
        if not opener:
            return None
        into = _open(tx, incident_id_for(tenant_id, because_of), opener[0])
    _add(tx, into, [(c, None, 0) for c in sorted(found.claims)])
    refresh(tx, into)
    _draw_in(tx, into, sorted(found.claims | set(seeds)))
    return into


def _why(found: _Cluster, into: str, other: str) -> str:
    """Say by what two incidents met; a claim between them may share one thing with each."""
    ours, theirs = (found.shared.get(which, set()) for which in (into, other))
    names = sorted((ours & theirs) or (ours | theirs))[:_NAMED]
    same = f"the same {', '.join(name[:100] for name in names)} within a day" if names else ""
    if not names or {into, other} <= found.tied:
        return "a correlation rests on claims of both"
    return same if found.tied.isdisjoint({into, other}) else f"a correlation, and {same}"


def _note(tx: Transaction, tenant_id: str, into: str, other: str, body: str) -> None:
    execute(
        tx,
        "incident_house_note",
        incident_id=into,
        note_id=str(uuid.uuid5(_HOUSE, f"{tenant_id}\x1fjoined\x1f{into}\x1f{other}")),
        body=body,
        most=MOST_NOTES,
        last=" Further ones are not noted.",
    )


def _fitting(rows: list[dict[str, Any]], found: _Cluster, more: int) -> list[str]:
    """Give the incident that stays, then those to merge into it, as long as they fit."""
    fitting: list[str] = []
    size = more
    for row in sorted(rows, key=lambda r: r["incident_id"] not in found.tied):
        which = str(row["incident_id"])
        if which in found.tied or size + _size(row) <= LARGEST:
            fitting.append(which)
            size += _size(row)
    order = [str(r["incident_id"]) for r in rows]
    return sorted(fitting, key=order.index)


def _spread(tx: Transaction, seeds: Sequence[str]) -> _Cluster:
    """Walk from claim to claim that spreads; an incident is not walked through, it is one thing."""
    found = _Cluster()
    frontier, seen = list(seeds), set(seeds)
    while frontier and len(seen) <= _WIDEST:
        reached: list[str] = []
        for row in select(tx, "incident_tied", ids=frontier):
            if row["incident_id"] and not row["is_closed"]:
                found.tied.add(str(row["incident_id"]))
            else:
                # One that a person closed stays there as well: the story needs its part.
                found.claims.add(str(row["finding_id"]))
                reached += [] if row["is_closed"] else [str(row["finding_id"])]
        for row in _near(tx, frontier):
            if row["is_closed"]:
                continue
            if row["incident_id"]:
                which = str(row["incident_id"])
                found.incidents.add(which)
                found.shared.setdefault(which, set()).add(str(row["entity"]))
            else:
                found.claims.add(str(row["finding_id"]))
                reached.append(str(row["finding_id"]))
        frontier = [f for f in dict.fromkeys(reached) if f not in seen]
        seen.update(frontier)
    found.incidents |= found.tied
    return found


def _near(tx: Transaction, ids: Sequence[str]) -> list[dict[str, Any]]:
    return _carrying(tx, select(tx, "incident_near_cores", ids=list(ids), window_s=WINDOW_S))


def _carrying(tx: Transaction, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the rows whose shared entity joins: who is accused does, however many know it."""
    if not rows:
        return []
    hubs, full = _hubs(tx, {_entity(r, "seed_id") for r in rows})
    return [
        r
        for r in rows
        if (e := _entity(r, "seed_id")) not in full and (r["is_accused"] or e not in hubs)
    ]


def _entity(row: Mapping[str, Any], claim: str = "finding_id") -> Entity:
    return str(row[claim]), str(row["entity_type"]), str(row["entity"])


def _hubs(tx: Transaction, entities: set[Entity]) -> tuple[set[Entity], set[Entity]]:
    """Give those of these entities that many others share, and those of many incidents."""
    rows: list[dict[str, Any]] = select(
        tx,
        "incident_hubs",
        outside=[name for _, _, name in entities if is_outside(name)],
        window_s=WINDOW_S,
        **_columns("", entities),
    )
    hubs = {_entity(r) for r in rows if r["others"] > MOST_OTHERS}
    return hubs, {_entity(r) for r in rows if r["incidents"] > MOST_INCIDENTS}


def _draw_in(tx: Transaction, into: str, ids: Sequence[str]) -> None:
    """Bring in what only joins and is nearest to these; take it from where it was farther off."""
    room = LARGEST - _size(select(tx, "incident_get", incident_id=into)[0])
    if room <= 0:
        return
    shared = select(tx, "incident_shared_names", ids=list(ids))
    hubs, full = _hubs(tx, {_entity(r) for r in shared})
    rows: list[dict[str, Any]] = select(
        tx,
        "incident_near_leaves",
        ids=list(ids),
        window_s=WINDOW_S,
        limit=room,
        **_columns("hub_", hubs),
        **_columns("full_", full),
    )
    elsewhere = {str(r["incident_id"]) for r in rows if r["incident_id"] not in {None, into}}
    for other in sorted(elsewhere):
        gone = [r["finding_id"] for r in rows if r["incident_id"] == other]
        execute(tx, "incident_drop_claims", incident_id=other, ids=gone)
        refresh(tx, other)
    if rows:
        _add(tx, into, [(r["finding_id"], r["via"], r["gap_us"]) for r in rows])
        refresh(tx, into)


def _columns(name: str, entities: set[Entity]) -> dict[str, list[str]]:
    rows = sorted(entities)
    return {
        f"{name}ids": [r[0] for r in rows],
        f"{name}types": [r[1] for r in rows],
        f"{name}names": [r[2] for r in rows],
    }


def _add(tx: Transaction, into: str, claims: Sequence[tuple[str, object, object]]) -> None:
    execute(
        tx,
        "incident_add_claims",
        incident_id=into,
        ids=[c for c, _, _ in claims],
        vias=[via for _, via, _ in claims],
        gaps=[gap for _, _, gap in claims],
    )


def _open(tx: Transaction, incident_id: str, opener: Mapping[str, Any]) -> str:
    names = ("level", "entity_type", "entity", "rule_id", "time")
    execute(
        tx,
        "incident_open",
        incident_id=incident_id,
        title=title_of(opener["title"], opener["entity_type"], opener["entity"]),
        is_named=False,
        **{name: opener[name] for name in names},
    )
    return incident_id


def merge_into(tx: Transaction, into: str, other: str) -> None:
    """Move claims and notes; the other leads on to the one that stays. Both versions move."""
    execute(tx, "incident_merge_claims", into_id=into, from_id=other)
    execute(tx, "incident_merge_notes", into_id=into, from_id=other)
    execute(tx, "incident_merge_take", into_id=into, from_id=other)
    execute(tx, "incident_merge_end", into_id=into, from_id=other)


def refresh(tx: Transaction, incident_id: str) -> None:
    """Count again what the incident holds, and name it by the gravest of it."""
    for row in select(tx, "incident_refresh", incident_id=incident_id, levels=list(LEVELS)):
        gravest: Any = row["gravest"]
        title = title_of(*gravest[0]) if gravest else row["title"]
        if title != row["title"]:
            execute(tx, "incident_name", incident_id=incident_id, title=title)


def _size(row: Mapping[str, Any]) -> int:
    return int(row["finding_count"])
