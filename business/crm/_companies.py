"""Keep the companies that buy from us, and the people there."""

from dataclasses import dataclass

from business._event import Transaction
from business._fact import Acting, acting, checked_text, take_turn
from business.crm._words import (
    MODULE,
    Row,
    document_id,
    fingerprint,
    found,
    is_new_change,
    made_before,
    mail_address,
    moment,
    note,
    row_id,
    shown,
    tell,
)
from storage.database.queries import execute, select
from storage.tenant import Scope


@dataclass(frozen=True, slots=True)
class NewCompany:
    """A customer to keep. `customer_uid`: the client's own id, or '' for a new one."""

    name: str
    address: str = ""
    customer_uid: str = ""


@dataclass(frozen=True, slots=True)
class NewContact:
    """A person at a customer. `contact_uid`: the client's own id, or '' for a new one."""

    customer_uid: str
    name: str
    mail: str = ""
    contact_uid: str = ""


def create_company(scope: Scope, tx: Transaction, new: NewCompany, by: Acting | None = None) -> Row:
    """Keep a new customer; give it. The same request again gives the same customer.

    InvalidInput for odd texts, Conflict if the id is taken by another content.
    """
    scope.require("crm:write")
    by = by or acting(scope)
    uid = document_id("customer_uid", new.customer_uid)
    name = checked_text("name", new.name)
    address = checked_text("address", new.address, 500, empty=True)
    made_from = fingerprint(name, address)
    take_turn(tx, MODULE)
    if there := made_before(tx, "crm_company_get", "company", uid, made_from):
        return there
    execute(
        tx,
        "crm_company_add",
        customer_uid=uid,
        row_id=row_id(),
        name=name,
        address=address,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    _tell_company(scope, tx, "Create", uid, name, address, by)
    note(scope, tx, "company.create", uid, by, name=name)
    return get_company(scope, tx, uid)


def update_company(
    scope: Scope,
    tx: Transaction,
    customer_uid: str,
    version: int | None,
    name: str | None = None,
    address: str | None = None,
    by: Acting | None = None,
) -> Row:
    """Change name or address of a customer that still stands at `version`; None leaves it."""
    scope.require("crm:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = found(tx, "crm_company_get", "company", customer_uid)
    name = str(row["name"]) if name is None else checked_text("name", name)
    kept = str(row["address"])
    address = kept if address is None else checked_text("address", address, 500, empty=True)
    place = ("company", customer_uid, "update")
    if is_new_change(tx, row, place, version, by, name, address):
        execute(tx, "crm_company_update", uid=customer_uid, name=name, address=address)
        _tell_company(scope, tx, "Update", customer_uid, name, address, by)
        changed = {"name": [row["name"], name], "address": [kept, address]}
        note(scope, tx, "company.update", customer_uid, by, **changed)
    return get_company(scope, tx, customer_uid)


def create_contact(scope: Scope, tx: Transaction, new: NewContact, by: Acting | None = None) -> Row:
    """Keep a person at a customer; give it. The same request again gives the same contact.

    NotFound for an unknown customer, Conflict if the id is taken by another content.
    """
    scope.require("crm:write")
    by = by or acting(scope)
    uid = document_id("contact_uid", new.contact_uid)
    name = checked_text("name", new.name)
    mail = mail_address("mail", new.mail)
    made_from = fingerprint(new.customer_uid, name, mail)
    take_turn(tx, MODULE)
    if there := made_before(tx, "crm_contact_get", "contact", uid, made_from):
        return there
    company = found(tx, "crm_company_get", "company", new.customer_uid)
    execute(
        tx,
        "crm_contact_add",
        contact_uid=uid,
        row_id=row_id(),
        customer_uid=new.customer_uid,
        name=name,
        mail=mail,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    _tell_contact(scope, tx, "Create", {**company, "contact_uid": uid}, name, mail, by)
    note(scope, tx, "contact.create", uid, by, customer_uid=new.customer_uid)
    return get_contact(scope, tx, uid)


def update_contact(
    scope: Scope,
    tx: Transaction,
    contact_uid: str,
    version: int | None,
    name: str | None = None,
    mail: str | None = None,
    by: Acting | None = None,
) -> Row:
    """Change name or mail of a contact that still stands at `version`; None leaves it."""
    scope.require("crm:write")
    by = by or acting(scope)
    take_turn(tx, MODULE)
    row = found(tx, "crm_contact_get", "contact", contact_uid)
    name = str(row["name"]) if name is None else checked_text("name", name)
    mail = str(row["mail"]) if mail is None else mail_address("mail", mail)
    if is_new_change(tx, row, ("contact", contact_uid, "update"), version, by, name, mail):
        execute(tx, "crm_contact_update", uid=contact_uid, name=name, mail=mail)
        company = {**row, "name": row["customer_name"]}
        _tell_contact(scope, tx, "Update", company, name, mail, by)
        changed = [n for n, v in (("name", name), ("mail", mail)) if row[n] != v]
        note(scope, tx, "contact.update", contact_uid, by, changed=changed)
    return get_contact(scope, tx, contact_uid)


def get_company(scope: Scope, tx: Transaction, customer_uid: str) -> Row:
    """Give one customer; NotFound if this tenant has none of that id."""
    scope.require("crm:read")
    return shown(found(tx, "crm_company_get", "company", customer_uid))


def get_contact(scope: Scope, tx: Transaction, contact_uid: str) -> Row:
    """Give one contact; NotFound if this tenant has none of that id."""
    scope.require("crm:read")
    return shown(found(tx, "crm_contact_get", "contact", contact_uid))


def list_companies(
    scope: Scope,
    tx: Transaction,
    *,
    search: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give customers, newest first: by id or part of the name.

    `before`, `before_id`: created_at and row_id of the last row of the page before.
    """
    scope.require("crm:read")
    return select(
        tx, "crm_companies_page", search=search, before=before, before_id=before_id, limit=limit
    )


def list_contacts(
    scope: Scope,
    tx: Transaction,
    *,
    customer_uid: str | None = None,
    search: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give contacts, newest first: of a customer, by id, mail or part of the name."""
    scope.require("crm:read")
    return select(
        tx,
        "crm_contacts_page",
        customer_uid=customer_uid,
        search=search,
        before=before,
        before_id=before_id,
        limit=limit,
    )


def _tell_company(
    scope: Scope, tx: Transaction, activity: str, uid: str, name: str, address: str, by: Acting
) -> None:
    named = {"customer__uid": uid, "customer__name": name}
    tell(scope, tx, "company", activity, uid, by, **named, address=address)


def _tell_contact(
    scope: Scope, tx: Transaction, activity: str, row: Row, name: str, mail: str, by: Acting
) -> None:
    named = {"customer__uid": row["customer_uid"], "customer__name": row["name"]}
    uid = str(row["contact_uid"])
    tell(scope, tx, "contact", activity, uid, by, **named, mail=mail, contact_name=name)
