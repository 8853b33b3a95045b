"""Say the commands of the books as the API takes them: who acted, when, from which device."""

from typing import Any, Final

from deploy.demo.company import Customer, Person, Vendor
from deploy.demo.rows import CRM, ERP, Command, Mark, Row
from deploy.demo.windows import iso

INVOICE: Final = 999001
PAYMENT: Final = 999002
VENDOR: Final = 999003
ITEM: Final = 999004
COMPANY: Final = 999011
CONTACT: Final = 999012
DEAL: Final = 999013
EXPORT: Final = 999014
STOCK: Final = 900
"""Pieces of each item when the books were opened."""


class Hand:
    """Who acts: account, device and address; a person at their own desk, or somebody elsewhere."""

    __slots__ = ("account", "device", "ip")

    def __init__(self, account: str, device: str, ip: str) -> None:
        """Hold who acts from where."""
        self.account, self.device, self.ip = account, device, ip


def of(person: Person) -> Hand:
    """Give the hand of a person at their own desk."""
    return Hand(person.account, person.device, person.ip)


def _row(
    time_us: int,
    source: str,
    hand: Hand,
    path: str,
    body: dict[str, Any],
    fact: tuple[int, int, str],
    mark: Mark | None = None,
    method: str = "POST",
) -> Row:
    who = {
        "on_behalf_of": hand.account,
        "occurred_at": iso(time_us),
        "device_uid": hand.device,
        "src_ip": hand.ip,
    }
    kept = {k: v for k, v in body.items() if v not in (None, "")}
    return Row(time_us, source, b"", Command(method, path, kept, fact, who), mark)


def vendor_made(
    time_us: int, hand: Hand, vendor: Vendor, mark: Mark | None = None, **more: str
) -> Row:
    """Enter a vendor."""
    body = {
        "vendor_id": vendor.uid,
        "name": vendor.name,
        "bank_account": vendor.iban,
        "address": vendor.address,
        **more,
    }
    return _row(time_us, ERP, hand, "/v1/vendors", body, (VENDOR, 1, vendor.uid), mark)


def vendor_changed(time_us: int, hand: Hand, vendor: str, address: str) -> Row:
    """Correct the address of a vendor."""
    path, fact = f"/v1/vendors/{vendor}", (VENDOR, 3, vendor)
    return _row(time_us, ERP, hand, path, {"address": address}, fact, method="PATCH")


def bank_changed(
    time_us: int, hand: Hand, vendor: str, iban: str, mark: Mark | None = None, **more: str
) -> Row:
    """Change the account a vendor is paid to; `more`: confirmed_by, confirmation."""
    body = {"bank_account": iban, **more}
    return _row(
        time_us, ERP, hand, f"/v1/vendors/{vendor}/bank-account", body, (VENDOR, 5, vendor), mark
    )


def invoice_made(
    time_us: int,
    hand: Hand,
    uid: str,
    vendor: str,
    amount_cents: int,
    due: str,
    mark: Mark | None = None,
) -> Row:
    """Enter an invoice of a vendor."""
    body = {
        "invoice_id": uid,
        "vendor_id": vendor,
        "amount_cents": amount_cents,
        "currency": "EUR",
        "due": due,
    }
    return _row(time_us, ERP, hand, "/v1/invoices", body, (INVOICE, 5, uid), mark)


def invoice_approved(time_us: int, hand: Hand, uid: str, mark: Mark | None = None) -> Row:
    """Approve an invoice."""
    return _row(time_us, ERP, hand, f"/v1/invoices/{uid}/approve", {}, (INVOICE, 6, uid), mark)


def payment_made(time_us: int, hand: Hand, uid: str, invoice: str, mark: Mark | None = None) -> Row:
    """Propose the payment of an invoice."""
    body = {"payment_id": uid, "invoice_id": invoice}
    return _row(time_us, ERP, hand, "/v1/payments", body, (PAYMENT, 1, uid), mark)


def payment_approved(time_us: int, hand: Hand, uid: str, mark: Mark | None = None) -> Row:
    """Approve a payment."""
    return _row(time_us, ERP, hand, f"/v1/payments/{uid}/approve", {}, (PAYMENT, 6, uid), mark)


def payment_paid(time_us: int, hand: Hand, uid: str, mark: Mark | None = None) -> Row:
    """Pay a payment in the day's run."""
    return _row(time_us, ERP, hand, f"/v1/payments/{uid}/pay", {}, (PAYMENT, 9, uid), mark)


def item_made(time_us: int, hand: Hand, uid: str, name: str, price_cents: int) -> Row:
    """Enter an item, with what lies in the store."""
    body = {
        "item_id": uid,
        "name": name,
        "price_cents": price_cents,
        "currency": "EUR",
        "stock": STOCK,
    }
    return _row(time_us, ERP, hand, "/v1/items", body, (ITEM, 1, uid))


def price_changed(time_us: int, hand: Hand, uid: str, price_cents: int, campaign: str = "") -> Row:
    """Change an item's price."""
    body = {"price_cents": price_cents, "campaign": campaign}
    return _row(time_us, ERP, hand, f"/v1/items/{uid}/price", body, (ITEM, 5, uid))


def stock_changed(
    time_us: int, hand: Hand, uid: str, change: int, reason: str, mark: Mark | None = None
) -> Row:
    """Correct the stock of an item."""
    body = {"change": change, "reason": reason}
    return _row(time_us, ERP, hand, f"/v1/items/{uid}/stock", body, (ITEM, 6, uid), mark)


def company_made(time_us: int, hand: Hand, customer: Customer) -> Row:
    """Enter a customer."""
    body = {"customer_uid": customer.uid, "name": customer.name, "address": customer.address}
    return _row(time_us, CRM, hand, "/v1/companies", body, (COMPANY, 1, customer.uid))


def contact_made(time_us: int, hand: Hand, uid: str, customer: str, name: str, mail: str) -> Row:
    """Enter a contact of a customer."""
    body = {"contact_uid": uid, "customer_uid": customer, "name": name, "mail": mail}
    return _row(time_us, CRM, hand, "/v1/contacts", body, (CONTACT, 1, uid))


def deal_made(
    time_us: int,
    hand: Hand,
    uid: str,
    customer: str,
    amount_cents: int,
    contact_mail: str,
) -> Row:
    """Open a deal."""
    body = {
        "deal_uid": uid,
        "customer_uid": customer,
        "amount_cents": amount_cents,
        "currency": "EUR",
        "contact_mail": contact_mail,
    }
    return _row(time_us, CRM, hand, "/v1/deals", body, (DEAL, 1, uid))


def stage_changed(time_us: int, hand: Hand, uid: str, stage: str) -> Row:
    """Move a deal to another stage."""
    return _row(time_us, CRM, hand, f"/v1/deals/{uid}/stage", {"stage": stage}, (DEAL, 5, uid))


def discounted(
    time_us: int, hand: Hand, uid: str, percent: float, mark: Mark | None = None, **more: str
) -> Row:
    """Give a discount on a deal; `more`: campaign, approved_by."""
    body = {"discount_percent": percent, **more}
    return _row(time_us, CRM, hand, f"/v1/deals/{uid}/discount", body, (DEAL, 6, uid), mark)


def exported(
    time_us: int,
    account: str,
    device: str,
    ip: str,
    kind: str,
    records: int,
    report: str,
    mark: Mark | None = None,
) -> Row:
    """Export records of the CRM."""
    uid = f"X-{time_us // 1000:x}"
    body = {"export_uid": uid, "document_type": kind, "record_count": records, "report": report}
    hand = Hand(account, device, ip)
    return _row(time_us, CRM, hand, "/v1/exports", body, (EXPORT, 1, uid), mark)
