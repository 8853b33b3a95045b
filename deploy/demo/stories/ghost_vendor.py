"""An employee enters a vendor that is paid to the employee's own account, and bills for it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from deploy.demo import books
from deploy.demo.company import Vendor, address
from deploy.demo.names import LINE, TRADE
from deploy.demo.office_books import due_day
from deploy.demo.rows import HOUR, MINUTE, Row
from deploy.demo.tale import Tale

NAME: Final = "ghost_vendor"
START_H: Final = (9.0, 14.0)
FIRST_DAY: Final = 3
AT_NIGHT: Final = False


def _vendor(tale: Tale, iban: str) -> Vendor:
    dice, like = tale.dice, tale.company.vendors[0]
    name = f"{dice.choice(TRADE)} {dice.choice(LINE)} Services"
    return replace(like, uid=f"V-{9001 + tale.number}", name=name, iban=iban, address=address(dice))


def planted(tale: Tale, days: int | None = None) -> Iterator[Row]:
    """Tell it: a vendor today, an invoice soon, approved by the same hand or on the same device."""
    dice, maker = tale.dice, tale.cast.person("purchasing", "finance")
    owner = maker if dice.random() < 0.6 else dice.choice(tale.company.people)
    vendor = _vendor(tale, owner.iban)
    tale.about(("vendor", vendor.uid), ("user", maker.account))
    hand = books.of(maker)
    yield books.vendor_made(
        tale.later(0), hand, vendor, tale.step("vendor with an employee's account")
    )
    day = dice.randint(0, 3) if days is None else days
    at = tale.in_hours(day, dice.uniform(9.5, 15.0)) if day else tale.later(25, 70)
    invoice = f"INV-{at // 1_000_000 % 10**7}-{tale.number}"
    mark = tale.step("invoice made and approved by one hand")
    amount = dice.randint(180_000, 940_000)
    yield books.invoice_made(at, hand, invoice, vendor.uid, amount, due_day(at, 7), mark)
    approver = hand
    if dice.random() < 0.4:
        lent = tale.cast.person("finance", "management", "purchasing")
        approver = books.Hand(lent.account, maker.device, maker.ip)
    at += dice.randrange(2 * MINUTE, 8 * MINUTE)
    yield books.invoice_approved(at, approver, invoice, mark)
    payment = f"PAY-{invoice[4:]}"
    at += dice.randrange(30 * MINUTE, 90 * MINUTE)
    yield books.payment_made(at, hand, payment, invoice)
    tale.about(("document", payment))
    other = books.of(tale.cast.person("finance", "management"))
    yield books.payment_approved(at + 30 * MINUTE, other, payment)
    yield books.payment_paid(at + 5 * HOUR, other, payment)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the declared business on the side: known, confirmed, approved by another elsewhere."""
    dice, maker = tale.dice, tale.cast.person("purchasing", "finance")
    owner, other = (
        tale.cast.person("engineering", "production"),
        tale.cast.person("management", "finance"),
    )
    vendor = _vendor(tale, owner.iban)
    tale.about(("vendor", vendor.uid), ("user", owner.account))
    mark = tale.step("vendor declared as an employee's business")
    yield books.vendor_made(
        tale.later(0),
        books.of(maker),
        vendor,
        mark,
        confirmation="declared",
        confirmed_by=other.account,
    )
    at = tale.in_hours(1, dice.uniform(9.0, 15.0))
    invoice = f"INV-{at // 1_000_000 % 10**7}-{tale.number}"
    mark = tale.step("invoice approved by another")
    yield books.invoice_made(
        at,
        books.of(maker),
        invoice,
        vendor.uid,
        dice.randint(40_000, 160_000),
        due_day(at, 14),
        mark,
    )
    yield books.invoice_approved(at + 3 * HOUR, books.of(other), invoice, mark)
    payment = f"PAY-{invoice[4:]}"
    yield books.payment_made(at + 4 * HOUR, books.of(maker), payment, invoice)
    yield books.payment_approved(at + 5 * HOUR, books.of(other), payment)
    yield books.payment_paid(at + 24 * HOUR, books.of(other), payment)
