"""Post and approve the invoices of vendors. What is issued does not change any more."""

import time
from dataclasses import dataclass
from datetime import date

from business._conflict import Conflict
from business._event import Transaction
from business._fact import Acting, Fact, Value, acting, announce, take_turn
from business.erp._words import (
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
    shown,
)
from storage.audit import write_audit
from storage.database.queries import select
from storage.errors import NotFound
from storage.identity import new_id
from storage.tenant import Scope


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """An invoice to post; `amount_cents` in minor units of `currency`. `invoice_id`: or ''."""

    vendor_id: str
    amount_cents: int
    currency: str
    due: date | None = None
    invoice_id: str = ""


def post_invoice(scope: Scope, tx: Transaction, new: NewInvoice, by: Acting | None = None) -> Row:
    """Enter a vendor's invoice as issued; give it. The same request again gives the same invoice.

    NotFound without the vendor, Conflict if the id is taken by another content. There is no command
    that edits it: a wrong one is answered by another document.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    invoice_id = document_id("invoice_id", new.invoice_id)
    vendor_id = known_id("vendor_id", new.vendor_id)
    money(new.amount_cents, new.currency)
    made_from = fingerprint(vendor_id, new.amount_cents, new.currency, new.due)
    take_turn(tx, MODULE)
    found = select(tx, "erp_invoice_get", invoice_id=invoice_id)
    if is_repeat(found[0] if found else None, made_from, f"invoice {invoice_id}"):
        return _view(found[0])
    vendors = select(tx, "erp_vendor_get", vendor_id=vendor_id)
    if not vendors:
        raise NotFound(f"vendor {vendor_id} is not there")
    (row,) = select(
        tx,
        "erp_invoice_add",
        invoice_id=invoice_id,
        row_id=new_id(time.time_ns() // 1000),
        vendor_id=vendor_id,
        amount_cents=new.amount_cents,
        currency=new.currency,
        due=new.due,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    vendor = {"vendor_name": vendors[0]["name"], "bank_account": vendors[0]["bank_account"]}
    _tell(scope, tx, "Issue", row | vendor, by)
    detail = by.detail(vendor_id=vendor_id, amount_cents=new.amount_cents, currency=new.currency)
    write_audit(tx, scope, "invoice.post", invoice_id, detail=detail)
    return _view(row | vendor)


def approve_invoice(
    scope: Scope,
    tx: Transaction,
    invoice_id: str,
    version: int | None,
    by: Acting | None = None,
    policy: Policy = PLAIN,
) -> Row:
    """Approve an issued invoice that still stands at `version`; give it.

    Whoever made it may approve it, unless `policy.four_eyes` forbids: in a small office one person
    often does both, a refusal here would only move the habit to a borrowed account, and the fact
    names both persons and the device, so that detection sees the one hand (or the two accounts on
    one device) where it matters. Conflict for an invoice that is approved already.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = _found(tx, invoice_id)
    command = command_of(scope, row, "approve", version, by)
    if command is None:
        return _view(row)
    if row["status"] != "issued":
        raise Conflict(f"invoice {invoice_id} is {row['status']} already")
    policy.check_approver("invoices", row["created_by"], by.name)
    (after,) = select(
        tx,
        "erp_invoice_approve",
        invoice_id=invoice_id,
        by=by.name,
        at=moment(by.at_us),
        command=command,
    )
    after = row | after
    _tell(scope, tx, "Approve", after, by, **{"user.name": row["created_by"]})
    detail = by.detail(created_by=row["created_by"], amount_cents=row["amount_cents"])
    write_audit(tx, scope, "invoice.approve", invoice_id, detail=detail)
    return _view(after)


def list_invoices(
    scope: Scope,
    tx: Transaction,
    *,
    vendor_id: str | None = None,
    status: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give invoices, newest first. `before`, `before_id`: created_at and row_id of the last row."""
    scope.require("erp:read")
    return select(
        tx,
        "erp_invoices_page",
        vendor_id=vendor_id,
        status=status,
        before=before,
        before_id=before_id,
        limit=limit,
    )


def get_invoice(scope: Scope, tx: Transaction, invoice_id: str) -> Row:
    """Give one invoice; NotFound if this tenant has none of that id."""
    scope.require("erp:read")
    return _view(_found(tx, invoice_id))


def _found(tx: Transaction, invoice_id: str) -> Row:
    rows = select(tx, "erp_invoice_get", invoice_id=known_id("invoice_id", invoice_id))
    if not rows:
        raise NotFound(f"invoice {invoice_id} is not there")
    return rows[0]


def _view(row: Row) -> Row:
    return {k: v for k, v in shown(row).items() if k != "bank_account"}


def _tell(
    scope: Scope, tx: Transaction, activity: str, row: Row, by: Acting, **more: Value
) -> None:
    uid = str(row["invoice_id"])
    data: dict[str, Value] = {
        **by.columns(),
        "document.uid": uid,
        "document.type": "invoice",
        "document.status": row["status"],
        "vendor.uid": row["vendor_id"],
        "vendor.name": row["vendor_name"],
        "vendor.bank_account": row["bank_account"],
        "amount_cents": row["amount_cents"],
        "currency": row["currency"],
        "due": row["due"] and row["due"].isoformat(),
        **more,
    }
    fact = Fact("erp.invoice", "invoice", activity, data, uid)
    announce(scope, tx, MODULE, fact, by.at_us, by.trace_id)
