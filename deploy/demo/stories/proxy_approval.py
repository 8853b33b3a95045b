"""Somebody approves their own invoice: with a colleague's account, at their own desk."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, cloud
from deploy.demo.company import HOME
from deploy.demo.office_books import due_day
from deploy.demo.rows import HOUR, MINUTE, Row
from deploy.demo.tale import Tale
from deploy.demo.windows import logon

NAME: Final = "proxy_approval"
START_H: Final = (9.5, 14.0)
FIRST_DAY: Final = 2
AT_NIGHT: Final = False


def _told(tale: Tale, *, planted: bool) -> Iterator[Row]:
    dice = tale.dice
    maker, other = tale.cast.person("purchasing", "finance"), tale.cast.person("finance")
    vendor = tale.cast.vendor(lambda v: v.a_month >= 2)
    desk = (maker.host, maker.ip)
    office = tale.company.office_ip
    yield cloud.sign_in(tale.later(0), maker.mail, office, maker.device, HOME)
    yield logon(tale.later(1), desk, maker.account, 2, (maker.host, "127.0.0.1"))
    at = tale.later(20, 40)
    invoice = f"INV-{at // 1_000_000 % 10**7}-{tale.number}"
    tale.about(("document", invoice), ("user", maker.account), ("user", other.account))
    mark = tale.step("invoice made")
    cents = int(vendor.usual_cents * dice.uniform(0.8, 1.2))
    yield books.invoice_made(at, books.of(maker), invoice, vendor.uid, cents, due_day(at, 14), mark)
    at += dice.randrange(12 * MINUTE, 40 * MINUTE)
    if planted:
        mark = tale.step("approved as a colleague, at the same desk")
    else:
        mark = tale.step("delegate signs in at that desk, and approves there")
        yield logon(at - 4 * MINUTE, desk, other.account, 2, (maker.host, "127.0.0.1"), mark=mark)
    hand = books.Hand(other.account, maker.device, maker.ip)
    yield books.invoice_approved(at, hand, invoice, mark)
    payment = f"PAY-{invoice[4:]}"
    at += dice.randrange(2 * HOUR, 3 * HOUR)
    yield books.payment_made(at, books.of(maker), payment, invoice)
    third = books.of(tale.cast.person("finance", "management"))
    yield books.payment_approved(at + HOUR, third, payment)
    yield books.payment_paid(at + 3 * HOUR, third, payment)


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: made and approved within the hour, by one hand."""
    yield from _told(tale, planted=True)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the delegate who comes over, signs in at that machine and approves there."""
    yield from _told(tale, planted=False)
