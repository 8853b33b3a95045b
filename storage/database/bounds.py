"""Bound what one rule may claim in a stretch of time: what is beyond is counted, not kept.

A rule over single events that matches everything would make a row, a message and a place in an
incident of each event. The ledger counts what it kept of each rule, tenant and window of event
time, in the transaction that keeps it; the stream's order decides what comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import orjson
from psycopg import Connection
from psycopg.rows import TupleRow

from storage import telemetry
from storage.database.queries import execute, select
from storage.schema import Finding

MOST_CLAIMS: Final = 1000
"""Claims of one rule and tenant that are kept of each window."""
WINDOW_S: Final = 600
BOUNDED: Final = "sigma"
"""The detector that claims event by event; the others claim once a window or an entity."""

Place = tuple[str, str, str, int]
"""Tenant, rule, its version, start of the window (s since 1970)."""


def within_bounds(tx: Connection[TupleRow], findings: Sequence[Finding]) -> list[Finding]:
    """Give the findings without those beyond the bound, which are counted as capped.

    One that is in the ledger already takes no room. Call `note_kept` with those that are new.
    """
    places = [_place(finding) for finding in findings]
    sizes = _counted(places)
    if not sizes:
        return list(findings)
    told = _told(tx, list(sizes))
    full = {place for place, size in sizes.items() if told.get(place, 0) + size > MOST_CLAIMS}
    if not full:
        return list(findings)
    asked = [f for f, place in zip(findings, places, strict=True) if place in full]
    known = _known(tx, asked)
    room = {place: MOST_CLAIMS - told.get(place, 0) for place in full}
    kept: list[Finding] = []
    capped: list[Place] = []
    for finding, place in zip(findings, places, strict=True):
        is_new = place in full and (finding.tenant_id, finding.finding_id) not in known
        if place is None or not is_new:
            kept.append(finding)
        elif room[place] > 0:
            room[place] -= 1
            kept.append(finding)
        else:
            capped.append(place)
    _add(tx, {}, _counted(capped))
    telemetry.count("inopsio_claims_capped_total", len(capped))
    return kept


def note_kept(tx: Connection[TupleRow], findings: Iterable[Finding]) -> None:
    """Count findings that are in the ledger from now on."""
    kept = _counted(_place(finding) for finding in findings)
    if kept:
        _add(tx, kept, {})
        execute(tx, "rule_windows_trim", tenants=sorted({place[0] for place in kept}))


def _place(finding: Finding) -> Place | None:
    if finding.detector != BOUNDED:
        return None
    start_s = finding.time_us // (WINDOW_S * 1_000_000) * WINDOW_S
    return finding.tenant_id, finding.rule_id, finding.detector_version, start_s


def _counted(places: Iterable[Place | None]) -> dict[Place, int]:
    counts: dict[Place, int] = {}
    for place in places:
        if place is not None:
            counts[place] = counts.get(place, 0) + 1
    return counts


def _told(tx: Connection[TupleRow], places: Sequence[Place]) -> dict[Place, int]:
    rows = select(tx, "rule_windows_of", rows=_rows(places, {}, {}))
    return {
        (str(r["tenant_id"]), str(r["rule_id"]), str(r["version"]), int(str(r["start_s"]))): int(
            str(r["claims"])
        )
        for r in rows
    }


def _known(tx: Connection[TupleRow], findings: Sequence[Finding]) -> set[tuple[str, str]]:
    rows = select(
        tx,
        "findings_known",
        tenants=[f.tenant_id for f in findings],
        ids=[f.finding_id for f in findings],
    )
    return {(str(r["tenant_id"]), str(r["finding_id"])) for r in rows}


def _add(
    tx: Connection[TupleRow], claims: Mapping[Place, int], capped: Mapping[Place, int]
) -> None:
    # In one order: two writers that lock the same rows do not wait for each other.
    places = sorted({*claims, *capped})
    execute(tx, "rule_windows_add", rows=_rows(places, claims, capped))


def _rows(places: Sequence[Place], claims: Mapping[Place, int], capped: Mapping[Place, int]) -> str:
    rows = [
        {
            "tenant_id": place[0],
            "rule_id": place[1],
            "version": place[2],
            "start_s": place[3],
            "claims": claims.get(place, 0),
            "capped": capped.get(place, 0),
        }
        for place in places
    ]
    return orjson.dumps(rows).decode()
