"""Stop payments that a grave finding is about; let another person release them."""

import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from business._conflict import Conflict
from business._event import Event, Transaction
from business._fact import Acting, acting, checked_text, take_turn
from business.erp._payments import by_account, found_payment, place_holds, tell_payment
from business.erp._words import (
    LONGEST_NOTE,
    LONGEST_REASON,
    MODULE,
    Row,
    command_of,
    fingerprint,
    moment,
    person,
    shown,
)
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed
from storage.tenant import Scope

GRAVE: Final = frozenset({"high", "critical"})
RELEASE: Final = "payments:release"
_LEVELS: Final = frozenset({"informational", "low", "medium", "high", "critical"})
_MOST_NAMED: Final = 200
_HELD: Final = frozenset({"vendor", "document", "bank_account"})


class ReleaseRefused(NotAllowed):
    """Whoever asks may not release the payment: HTTP 403."""


class _Reason(msgspec.Struct):
    name: str
    value: str


class _Finding(msgspec.Struct):
    tenant_id: str
    finding_id: str
    rule_id: str
    title: str
    level: str
    time_us: int
    entity_type: str
    entity: str
    links: list[tuple[str, str]] = []
    reasons: list[_Reason] = []
    kind: str = "finding"


def hear_finding(scope: Scope, tx: Transaction, event: Event) -> None:
    """Hold what is not paid yet of the vendors and documents that a grave finding names.

    And what goes to the account of such a vendor. The warning stays: payments proposed later are
    held at birth. A repeat changes nothing, also after a release.
    """
    finding = _read(event, scope.tenant_id)
    if finding.kind != "finding" or finding.level not in GRAVE:
        return
    names = _named(finding)
    if not names:
        return
    take_turn(tx, MODULE)
    vendors = [e for t, e in names if t == "vendor"]
    accounts = select(tx, "erp_accounts_of", vendors=vendors)
    theirs = [("bank_account", str(row["bank_account"])) for row in accounts]
    names = list(dict.fromkeys([*names, *theirs]))
    cause: Row = {
        "finding_id": finding.finding_id,
        "rule_id": finding.rule_id,
        "level": finding.level,
        "title": finding.title[:300],
        "reason": _reason(finding),
    }
    is_new = execute(
        tx,
        "erp_warning_add",
        **cause,
        time=moment(finding.time_us),
        types=[t for t, _ in names],
        entities=[e for _, e in names],
    )
    if is_new:
        _hold_named(scope, tx, finding, names, cause)


def _named(finding: _Finding) -> list[tuple[str, str]]:
    """Give the vendors, documents and accounts that a finding names, as the books name them."""
    named = dict.fromkeys([(finding.entity_type, finding.entity), *finding.links])
    return [
        (kind, "".join(name.split()).upper() if kind == "bank_account" else name.strip())
        for kind, name in named
        if kind in _HELD
    ][:_MOST_NAMED]


def _hold_named(
    scope: Scope, tx: Transaction, finding: _Finding, names: list[tuple[str, str]], cause: Row
) -> None:
    vendors, documents, accounts = (
        [e for t, e in names if t == kind] for kind in ("vendor", "document", "bank_account")
    )
    payments = select(
        tx, "erp_payments_named", vendors=vendors, documents=documents, accounts=accounts
    )
    if not payments:
        return
    # The fact bears the finding's time: it must not lead the books of another clock astray.
    by = Acting("system", finding.time_us, time.time_ns() // 1000)
    for payment in payments:
        is_named = payment["vendor_id"] in vendors or not {
            payment["payment_id"],
            payment["invoice_id"],
        }.isdisjoint(documents)
        account = str(payment["bank_account"])
        place_holds(
            scope, tx, [payment], [cause if is_named else by_account(cause, account, account)], by
        )
    _stop(tx, [str(p["payment_id"]) for p in payments], "", fingerprint(finding.finding_id))


def _stop(tx: Transaction, payment_ids: list[str], acted: str, command: str) -> None:
    execute(tx, "erp_payments_hold", payment_ids=payment_ids, acted=acted, command=command)


def _read(event: Event, tenant_id: str) -> _Finding:
    try:
        finding = msgspec.convert(dict(event.data), _Finding)
        uuid.UUID(finding.finding_id)
        moment(finding.time_us)
    except (msgspec.ValidationError, ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"event {event.event_id} holds no finding: {error}") from error
    if finding.tenant_id != tenant_id:
        raise InvalidInput(f"finding {finding.finding_id} is of another tenant than its message")
    if finding.level not in _LEVELS:
        raise InvalidInput(f"finding {finding.finding_id}: level {finding.level[:40]!r} is unknown")
    return finding


def _reason(finding: _Finding) -> str:
    grounds = "; ".join(f"{r.name}: {r.value}" for r in finding.reasons[:10])
    return (grounds or finding.title)[:LONGEST_REASON]


def hold_payment(
    scope: Scope,
    tx: Transaction,
    payment_id: str,
    reason: str,
    version: int | None,
    by: Acting | None = None,
) -> Row:
    """Put a payment that still stands at `version` on hold by a person's own decision; give it."""
    scope.require("erp:write")
    by = by or acting(scope)
    reason = checked_text("reason", reason, LONGEST_REASON)
    take_turn(tx, MODULE)
    row = found_payment(tx, payment_id)
    command = command_of(scope, row, "hold", version, by, reason)
    if command is None:
        return shown(row)
    if row["status"] in {"held", "paid"}:
        raise Conflict(f"payment {payment_id} is {row['status']} already")
    cause: Row = {
        "finding_id": None,
        "rule_id": "",
        "level": "",
        "title": f"Held by {by.name}",
        "reason": reason,
    }
    place_holds(scope, tx, [row], [cause], by)
    _stop(tx, [payment_id], person(by.name), command)
    return shown(found_payment(tx, payment_id))


def release_payment(
    scope: Scope,
    tx: Transaction,
    payment_id: str,
    note: str,
    version: int,
    *,
    clears_warnings: bool = False,
    by: Acting | None = None,
) -> Row:
    """Let a held payment that still stands at `version` go on from where it stood; give it.

    Only a signed-in person with `payments:release` who had no hand in the payment, its invoice or
    its vendor's account, and says why (`note`). `clears_warnings`: the findings that held it hold
    no later payments either. NotAllowed or ReleaseRefused leave nothing behind, as the transaction
    is rolled back with them; a door calls `try_release`, which writes the attempt down.
    """
    _check_person(scope)
    by = by or acting(scope)
    note = checked_text("note", " ".join(note.split()), LONGEST_NOTE)
    take_turn(tx, MODULE)
    row = found_payment(tx, payment_id)
    # The invoice may have been approved after the payment was proposed.
    if person(scope.actor.name) in {*row["acted"], person(row["invoice_approved_by"])}:
        raise ReleaseRefused(
            f"{scope.actor.name} had a hand in payment {payment_id}; another person releases it"
        )
    command = command_of(scope, row, "release", version, by, note)
    if command is None:
        return shown(row)
    if row["status"] != "held":
        raise Conflict(f"payment {payment_id} is {row['status']}, not on hold")
    released = select(
        tx,
        "erp_holds_release",
        payment_id=payment_id,
        by=by.name,
        at=moment(by.at_us),
        note=note,
    )
    findings = [str(r["finding_id"]) for r in released if r["finding_id"]]
    if clears_warnings and findings:
        execute(tx, "erp_warnings_clear", finding_ids=findings, by=by.name, at=moment(by.at_us))
    after = row | {"status": row["held_from"]}
    tell_payment(scope, tx, "Release", after, by, note=note, status_id=1)
    execute(tx, "erp_payment_release", payment_id=payment_id, command=command)
    detail = {"note": note, "findings": findings, "clears_warnings": clears_warnings}
    write_audit(tx, scope, "payment.release", payment_id, detail=detail)
    return shown(found_payment(tx, payment_id))


def _check_person(scope: Scope) -> None:
    scope.require(RELEASE)
    if scope.actor.kind != "user":
        raise ReleaseRefused("only a signed-in person releases a payment, never a program")


def try_release(
    database: Database,
    scope: Scope,
    payment_id: str,
    note: str,
    version: int,
    *,
    clears_warnings: bool = False,
    by: Acting | None = None,
) -> Row:
    """Release as `release_payment` does, and write a refused attempt down before it is raised."""
    try:
        with database.app(scope) as tx:
            return release_payment(
                scope, tx, payment_id, note, version, clears_warnings=clears_warnings, by=by
            )
    except NotAllowed as error:
        with database.app(scope) as tx:
            note_refusal(scope, tx, payment_id, str(error), by)
        raise


def note_refusal(
    scope: Scope, tx: Transaction, payment_id: str, reason: str, by: Acting | None = None
) -> None:
    """Audit and tell that somebody tried to release a payment and was refused."""
    take_turn(tx, MODULE)
    rows = select(tx, "erp_payment_get", payment_id=payment_id)
    by = by or acting(scope)
    for row in rows:
        tell_payment(scope, tx, "Release", row, by, status_id=2, status_detail=reason)
    write_audit(tx, scope, "payment.release", payment_id, "refused", {"reason": reason})


def list_holds(
    scope: Scope,
    tx: Transaction,
    *,
    standing: bool = False,
    payment_id: str | None = None,
    finding_id: str | None = None,
    before: datetime | None = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give holds with their payments, newest first; `standing`: only those not released.

    `before` and `before_id`: placed_at and hold_id of the last row of the page before.
    """
    scope.require("erp:read")
    return select(
        tx,
        "erp_holds_page",
        standing=standing,
        payment_id=payment_id,
        finding_id=finding_id,
        before=before,
        before_id=before_id,
        limit=limit,
    )


def chain_of_hold(scope: Scope, tx: Transaction, payment_id: str) -> list[Mapping[str, Any]]:
    """Give the findings that hold or held a payment and the parts they rest on, in order of time.

    Rows: finding_id, is_part, time, detector, rule_id, title, level, entity_type, entity, kind,
    event_ids, parts; at most 200. Needs `findings:read` too.
    """
    scope.require("erp:read")
    scope.require("findings:read")
    return [*select(tx, "erp_hold_chain", payment_id=payment_id)]
