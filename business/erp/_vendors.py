"""Keep vendors: who is paid, and to which account."""

import time
from dataclasses import dataclass
from typing import get_args

from business._event import Transaction
from business._fact import Acting, Fact, Value, acting, announce, checked_text, take_turn
from business.erp._words import (
    MODULE,
    Confirmation,
    Row,
    account,
    command_of,
    document_id,
    fingerprint,
    is_repeat,
    is_same_person,
    known_id,
    moment,
    shown,
)
from storage.audit import write_audit
from storage.database.queries import select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.schema.indicator import normal
from storage.tenant import Scope


@dataclass(frozen=True, slots=True)
class NewVendor:
    """A vendor to keep. `vendor_id`: the client's own, or '' for a new one.

    `domain`: where it writes from; feeds of indicators are held against it.
    """

    name: str
    bank_account: str
    address: str = ""
    vendor_id: str = ""
    confirmation: Confirmation = "none"
    confirmed_by: str = ""
    domain: str = ""


def create_vendor(scope: Scope, tx: Transaction, new: NewVendor, by: Acting | None = None) -> Row:
    """Keep a new vendor; give it. The same request again gives the same vendor.

    InvalidInput for odd texts, Conflict if the id is taken by another content.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    vendor_id = document_id("vendor_id", new.vendor_id)
    name = checked_text("name", new.name)
    address = checked_text("address", new.address, 500, empty=True)
    bank = account(new.bank_account)
    confirmed_by = _confirmed(new.confirmation, new.confirmed_by, by)
    domain = _domain(new.domain)
    parts = (name, address, bank, new.confirmation, confirmed_by, *([domain] if domain else []))
    made_from = fingerprint(*parts)
    take_turn(tx, MODULE)
    found = select(tx, "erp_vendor_get", vendor_id=vendor_id)
    if is_repeat(found[0] if found else None, made_from, f"vendor {vendor_id}"):
        return shown(found[0])
    (row,) = select(
        tx,
        "erp_vendor_add",
        vendor_id=vendor_id,
        row_id=new_id(time.time_ns() // 1000),
        name=name,
        address=address,
        domain=domain,
        bank_account=bank,
        confirmation=new.confirmation,
        confirmed_by=confirmed_by,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    _tell(scope, tx, "Create", row, by)
    detail = by.detail(name=name, bank_account=bank, confirmed_by=confirmed_by)
    write_audit(tx, scope, "vendor.create", vendor_id, detail=detail)
    return row


def update_vendor(
    scope: Scope,
    tx: Transaction,
    vendor_id: str,
    version: int | None,
    name: str | None = None,
    address: str | None = None,
    by: Acting | None = None,
    domain: str | None = None,
) -> Row:
    """Change name, address or domain of a vendor that stands at `version`; None leaves it."""
    scope.require("erp:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = _found(tx, vendor_id)
    name = str(row["name"]) if name is None else checked_text("name", name)
    kept = str(row["address"])
    address = kept if address is None else checked_text("address", address, 500, empty=True)
    more = [] if domain is None else [_domain(domain)]
    command = command_of(scope, row, "update", version, by, name, address, *more)
    if command is None:
        return shown(row)
    changed_to = {"name": name, "address": address, "domain": more[0] if more else row["domain"]}
    (after,) = select(tx, "erp_vendor_update", vendor_id=vendor_id, command=command, **changed_to)
    _tell(scope, tx, "Update", after, by)
    changed = {n: [row[n], after[n]] for n in changed_to if row[n] != after[n]}
    write_audit(tx, scope, "vendor.update", vendor_id, detail=by.detail(**changed))
    return after


def change_bank_account(
    scope: Scope,
    tx: Transaction,
    vendor_id: str,
    bank_account: str,
    version: int | None,
    confirmation: Confirmation = "none",
    confirmed_by: str = "",
    by: Acting | None = None,
) -> Row:
    """Pay the vendor to another account from now on; give the vendor.

    `confirmation` says how it was checked with the vendor, `confirmed_by` by whom: another person
    than the one who acts. Payments that are proposed already keep the account they were made with.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    bank = account(bank_account)
    confirmed_by = _confirmed(confirmation, confirmed_by, by)
    take_turn(tx, MODULE)
    row = _found(tx, vendor_id)
    command = command_of(scope, row, "bank", version, by, bank, confirmation, confirmed_by)
    if command is None:
        return shown(row)
    if bank == row["bank_account"]:
        raise InvalidInput(f"vendor {vendor_id} is paid to that account already")
    (after,) = select(
        tx,
        "erp_vendor_bank",
        vendor_id=vendor_id,
        bank_account=bank,
        confirmation=confirmation,
        confirmed_by=confirmed_by,
        by=by.name,
        at=moment(by.at_us),
        command=command,
    )
    before = {"previous_bank_account": row["bank_account"]}
    _tell(scope, tx, "Bank Change", after, by, **before)
    accounts = {"bank_account": [row["bank_account"], bank], "confirmation": confirmation}
    detail = by.detail(**accounts, confirmed_by=confirmed_by)
    write_audit(tx, scope, "vendor.bank_change", vendor_id, detail=detail)
    return after


def list_vendors(
    scope: Scope,
    tx: Transaction,
    *,
    search: str | None = None,
    bank_account: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give vendors, newest first: by id or part of the name, by account. `held`: payments on hold.

    `before` and `before_id`: created_at and row_id of the last row of the page before.
    """
    scope.require("erp:read")
    return select(
        tx,
        "erp_vendors_page",
        search=search,
        bank_account=bank_account and "".join(bank_account.split()).upper(),
        before=before,
        before_id=before_id,
        limit=limit,
    )


def get_vendor(scope: Scope, tx: Transaction, vendor_id: str) -> Row:
    """Give one vendor; NotFound if this tenant has none of that id."""
    scope.require("erp:read")
    return shown(_found(tx, vendor_id))


def _found(tx: Transaction, vendor_id: str) -> Row:
    rows = select(tx, "erp_vendor_get", vendor_id=known_id("vendor_id", vendor_id))
    if not rows:
        raise NotFound(f"vendor {vendor_id} is not there")
    return rows[0]


def _domain(text: str) -> str:
    return normal("domain", text)[1] if text.strip() else ""


def _confirmed(confirmation: str, confirmed_by: str, by: Acting) -> str:
    if confirmation not in get_args(Confirmation):
        raise InvalidInput(f"confirmation is one of {', '.join(get_args(Confirmation))}")
    name = checked_text("confirmed_by", confirmed_by, empty=True)
    if (confirmation == "none") != (not name):
        raise InvalidInput("confirmation and confirmed_by go together: say both, or none")
    if name and is_same_person(name, by.name):
        raise InvalidInput("confirmed_by must be another person than the one who acts")
    return name


def _tell(
    scope: Scope, tx: Transaction, activity: str, row: Row, by: Acting, **more: Value
) -> None:
    uid = str(row["vendor_id"])
    data: dict[str, Value] = {
        **by.columns(),
        "document.uid": uid,
        "document.type": "vendor",
        "vendor.uid": uid,
        "vendor.name": row["name"],
        "vendor.bank_account": row["bank_account"],
        "address": row["address"],
        "domain": row["domain"],
        "confirmation": row["confirmation"],
        "confirmed_by": row["confirmed_by"],
        **more,
    }
    if activity == "Update":  # the confirmation was of the account, long ago
        data |= {"confirmation": None, "confirmed_by": None}
    fact = Fact("erp.vendor", "vendor", activity, data, uid)
    announce(scope, tx, MODULE, fact, by.at_us, by.trace_id)
