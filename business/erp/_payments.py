"""Propose, approve and pay; not while on hold, nor before the flows have looked at it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import msgspec

from business._conflict import Conflict
from business._event import Transaction
from business._fact import Acting, Fact, Value, acting, announce, take_turn
from business.erp._words import (
    LONGEST_REASON,
    MODULE,
    PLAIN,
    Policy,
    Row,
    command_of,
    document_id,
    fingerprint,
    is_repeat,
    known_id,
    moment,
    money,
    person,
    shown,
)
from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.tenant import Scope

WARNED_DAYS: Final = 30
"""A grave finding about a vendor holds payments to it that are proposed up to so long after it."""
_SOURCE: Final = f"business:{MODULE}"


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to propose, for an invoice or to a vendor.

    `amount_cents`: minor units of `currency`; None = what is left of the invoice. `payment_id`: the
    client's own, or '' for a new one.
    """

    invoice_id: str = ""
    vendor_id: str = ""
    amount_cents: int | None = None
    currency: str = ""
    payment_id: str = ""


def propose_payment(
    scope: Scope, tx: Transaction, new: NewPayment, by: Acting | None = None
) -> Row:
    """Propose a payment; give it. The same request again gives the same payment.

    It goes to the account that the vendor has now. It is on hold from its birth where a high or
    critical finding of the last 30 days names the vendor, the invoice, the payment, the account or
    another vendor of that account. NotFound without vendor or invoice; Conflict if the id is taken
    by another content, or for more than is left of the invoice.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    payment_id = document_id("payment_id", new.payment_id)
    if not new.invoice_id and not new.vendor_id:
        raise InvalidInput("say invoice_id or vendor_id")
    made_from = fingerprint(new.invoice_id, new.vendor_id, new.amount_cents, new.currency)
    take_turn(tx, MODULE)
    found = select(tx, "erp_payment_get", payment_id=payment_id)
    if is_repeat(found[0] if found else None, made_from, f"payment {payment_id}"):
        return shown(found[0])
    full, vendor, makers = _ground(tx, new)
    warnings = select(
        tx,
        "erp_warnings_standing",
        vendor_id=full.vendor_id,
        documents=[payment_id, full.invoice_id],
        bank_account=vendor["bank_account"],
        since=moment(by.at_us) - timedelta(days=WARNED_DAYS),
    )
    row: Row = {
        "payment_id": payment_id,
        "vendor_id": full.vendor_id,
        "vendor_name": vendor["name"],
        "invoice_id": full.invoice_id or None,
        "amount_cents": full.amount_cents,
        "currency": full.currency,
        "bank_account": vendor["bank_account"],
        "created_by": by.name,
        "status": "proposed",
    }
    tell_payment(scope, tx, "Create", row, by)
    detail = by.detail(vendor_id=full.vendor_id, invoice_id=full.invoice_id)
    detail |= {"amount_cents": full.amount_cents, "currency": full.currency}
    write_audit(tx, scope, "payment.propose", payment_id, detail=detail)
    execute(
        tx,
        "erp_payment_add",
        **{k: v for k, v in row.items() if k not in {"vendor_name", "status"}},
        row_id=new_id(time.time_ns() // 1000),
        status="held" if warnings else "proposed",
        held_from="proposed" if warnings else None,
        at=moment(by.at_us),
        proposed_at=moment(by.now_us),
        acted=sorted({person(name) for name in (by.name, *makers) if name}),
        made_from=made_from,
    )
    if warnings:
        house = Acting("system", by.at_us, by.now_us, trace_id=by.trace_id)
        place_holds(scope, tx, [row], [_cause(w, vendor) for w in warnings], house)
    return shown(found_payment(tx, payment_id))


def _cause(warning: Row, vendor: Row) -> Row:
    """Give why a warning holds the payment; it may be one of the account alone."""
    names = ("finding_id", "rule_id", "level", "title", "reason")
    cause = {name: warning[name] for name in names}
    return (
        by_account(cause, vendor["bank_account"], warning["named"]) if warning["named"] else cause
    )


def by_account(cause: Row, account: str, named: str) -> Row:
    """Give a cause that holds because of where the money goes; `named`: a vendor or the account."""
    told = "which the finding is about" if named == account else f"that of vendor {named} too"
    reason = f"goes to account {account}, {told}; {cause['reason']}"
    return cause | {"reason": reason[:LONGEST_REASON]}


def _ground(tx: Transaction, new: NewPayment) -> tuple[NewPayment, Row, list[str]]:
    """Give the proposal in full, its vendor, and who made what it rests on."""
    makers: list[str] = []
    if new.invoice_id:
        invoices = select(tx, "erp_invoice_get", invoice_id=known_id("invoice_id", new.invoice_id))
        if not invoices:
            raise NotFound(f"invoice {new.invoice_id} is not there")
        new = _for_invoice(tx, new, invoices[0])
        makers += [str(invoices[0]["created_by"]), str(invoices[0]["approved_by"])]
    vendors = select(tx, "erp_vendor_get", vendor_id=known_id("vendor_id", new.vendor_id))
    if not vendors:
        raise NotFound(f"vendor {new.vendor_id} is not there")
    if new.amount_cents is None:
        raise InvalidInput("amount_cents is missing: a payment without invoice says how much")
    money(new.amount_cents, new.currency)
    makers += [str(vendors[0]["created_by"]), str(vendors[0]["bank_changed_by"])]
    return new, vendors[0], makers


def _for_invoice(tx: Transaction, new: NewPayment, invoice: Row) -> NewPayment:
    if new.vendor_id not in {"", invoice["vendor_id"]}:
        raise Conflict(f"invoice {new.invoice_id} is of vendor {invoice['vendor_id']}")
    if new.currency not in {"", invoice["currency"]}:
        raise Conflict(f"invoice {new.invoice_id} is in {invoice['currency']}")
    paid = int(str(select(tx, "erp_invoice_paid", invoice_id=new.invoice_id)[0]["cents"]))
    left = int(invoice["amount_cents"]) - paid
    cents = left if new.amount_cents is None else new.amount_cents
    if left <= 0 or cents > left:
        raise Conflict(f"of invoice {new.invoice_id} {left} minor units are left to pay")
    return replace(
        new,
        vendor_id=str(invoice["vendor_id"]),
        currency=str(invoice["currency"]),
        amount_cents=cents,
    )


def approve_payment(
    scope: Scope,
    tx: Transaction,
    payment_id: str,
    version: int | None,
    by: Acting | None = None,
    policy: Policy = PLAIN,
) -> Row:
    """Approve a proposed payment that still stands at `version`; give it.

    Conflict on hold, if it is approved or paid already, or before its invoice is approved.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = found_payment(tx, payment_id)
    command = command_of(scope, row, "approve", version, by)
    if command is None:
        return shown(row)
    check_status(row, "proposed")
    if row["invoice_status"] not in {"", "approved"}:
        raise Conflict(f"invoice {row['invoice_id']} is not approved yet")
    policy.check_approver("payments", row["created_by"], by.name)
    tell_payment(scope, tx, "Approve", row | {"status": "approved"}, by)
    execute(
        tx,
        "erp_payment_approve",
        payment_id=payment_id,
        by=by.name,
        at=moment(by.at_us),
        acted=person(by.name),
        command=command,
    )
    detail = by.detail(created_by=row["created_by"], amount_cents=row["amount_cents"])
    write_audit(tx, scope, "payment.approve", payment_id, detail=detail)
    return shown(found_payment(tx, payment_id))


def pay_payment(
    scope: Scope,
    tx: Transaction,
    payment_id: str,
    version: int | None,
    by: Acting | None = None,
    policy: Policy = PLAIN,
) -> Row:
    """Pay an approved payment that still stands at `version` and has been screened; give it.

    Screened: the events flow has read its newest fact and the second flow what that one claimed of
    it, `policy.payment_wait_s` of real time have passed since it was proposed, and no grave finding
    about it waits to be handled. Conflict says what to wait for, or why it is on hold.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = found_payment(tx, payment_id)
    command = command_of(scope, row, "pay", version, by)
    if command is None:
        return shown(row)
    check_status(row, "approved")
    _check_screened(tx, row, by, policy)
    tell_payment(scope, tx, "Pay", row | {"status": "paid"}, by)
    execute(
        tx,
        "erp_payment_pay",
        payment_id=payment_id,
        by=by.name,
        at=moment(by.at_us),
        command=command,
    )
    detail = by.detail(amount_cents=row["amount_cents"], bank_account=row["bank_account"])
    write_audit(tx, scope, "payment.pay", payment_id, detail=detail)
    return shown(found_payment(tx, payment_id))


def _check_screened(tx: Transaction, row: Row, by: Acting, policy: Policy) -> None:
    which = row["payment_id"]
    waited_s = (moment(by.now_us) - row["proposed_at"]).total_seconds()
    if waited_s < policy.payment_wait_s:
        left_s = policy.payment_wait_s - max(int(waited_s), 0)
        raise Conflict(f"payment {which} is being screened; try again in {left_s} s")
    read = select(tx, "source_screened", source=_SOURCE)
    if not read or int(str(read[0]["read_to"])) <= row["fact_position"]:
        raise Conflict(
            f"payment {which} is not screened yet: the events flow has not read it; try again"
        )
    if int(str(read[0]["screened_to"])) <= row["fact_position"]:
        raise Conflict(
            f"payment {which} is not screened yet: the correlations have not read what was found "
            "of it; try again"
        )
    unheard = select(
        tx,
        "erp_unheard_finding",
        vendor_id=row["vendor_id"],
        documents=[which, row["invoice_id"] or which],
        bank_account=row["bank_account"],
        since=row["created_at"] - timedelta(days=1),
    )
    if unheard:
        raise Conflict(f"payment {which} waits for a decision on: {unheard[0]['title']}")


def check_status(row: Row, wanted: str) -> None:
    """Pass, or raise Conflict saying where the payment stands instead."""
    if row["status"] == "held":
        raise Conflict(f"payment {row['payment_id']} is on hold; another person must release it")
    if row["status"] != wanted:
        raise Conflict(f"payment {row['payment_id']} is {row['status']}, not {wanted}")


def found_payment(tx: Transaction, payment_id: str) -> Row:
    """Give the payment with all that commands need; NotFound if there is none."""
    rows = select(tx, "erp_payment_get", payment_id=known_id("payment_id", payment_id))
    if not rows:
        raise NotFound(f"payment {payment_id} is not there")
    return rows[0]


def tell_payment(
    scope: Scope, tx: Transaction, activity: str, row: Row, by: Acting, **more: Value
) -> None:
    """Tell what happened to a payment; `user.name` is its creator where another acts."""
    uid = str(row["payment_id"])
    data: dict[str, Value] = {
        **by.columns(),
        "user.name": None if activity == "Create" else row["created_by"],
        "document.uid": uid,
        "document.type": "payment",
        "document.status": row["status"],
        "vendor.uid": row["vendor_id"],
        "vendor.name": row["vendor_name"],
        "vendor.bank_account": row["bank_account"],
        "amount_cents": row["amount_cents"],
        "currency": row["currency"],
        "invoice_uid": row["invoice_id"],
        **more,
    }
    fact = Fact("erp.payment", "payment", activity, data, uid)
    announce(scope, tx, MODULE, fact, by.at_us, by.trace_id)


def place_holds(
    scope: Scope, tx: Transaction, payments: Sequence[Row], causes: Sequence[Row], by: Acting
) -> None:
    """Write down why payments stand still, for each of the causes; tell and audit it.

    A cause has finding_id (or None), rule_id, level, title, reason. What is on hold already gets
    the further cause and no further fact: it goes on standing still.
    """
    title, finding = causes[0]["title"], causes[0]["finding_id"]
    findings = [c["finding_id"] for c in causes if c["finding_id"]]
    rows = []
    for payment in payments:
        which = str(payment["payment_id"])
        if payment["status"] != "held":
            held = payment | {"status": "held"}
            tell_payment(scope, tx, "Hold", held, by, reason=title, finding_id=finding)
        detail = by.detail(title=title, reason=causes[0]["reason"], placed_by=by.name)
        write_audit(tx, scope, "payment.hold", which, detail=detail | {"findings": findings})
        for cause in causes:
            hold_id = new_id(time.time_ns() // 1000)
            rows.append({**cause, "payment_id": which, "hold_id": hold_id})
    execute(
        tx,
        "erp_holds_add",
        rows=msgspec.json.encode(rows).decode(),
        placed_by=by.name,
        at=moment(by.at_us),
    )


def list_payments(
    scope: Scope,
    tx: Transaction,
    *,
    status: str | None = None,
    vendor_id: str | None = None,
    payment_id: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give payments, newest first, each with the newest hold that stands (`hold_*`, `held_at`).

    `before` and `before_id`: created_at and row_id of the last row of the page before.
    """
    scope.require("erp:read")
    return select(
        tx,
        "erp_payments_page",
        status=status,
        vendor_id=vendor_id,
        payment_id=payment_id,
        before=before,
        before_id=before_id,
        limit=limit,
    )


def get_payment(scope: Scope, tx: Transaction, payment_id: str) -> Row:
    """Give one payment as `list_payments` does; NotFound if this tenant has none of that id."""
    rows = list_payments(scope, tx, payment_id=known_id("payment_id", payment_id), limit=1)
    if not rows:
        raise NotFound(f"payment {payment_id} is not there")
    return rows[0]
