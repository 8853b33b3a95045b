"""A clerk's mailbox is taken over, a vendor's account is changed, and a large payment proposed."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, cloud
from deploy.demo.company import HOME, device_id, iban, public_ip
from deploy.demo.names import FAR
from deploy.demo.office_books import due_day
from deploy.demo.rows import HOUR, MINUTE, Row
from deploy.demo.tale import Tale

NAME: Final = "vendor_fraud"
START_H: Final = (7.5, 11.0)
FIRST_DAY: Final = 5
AT_NIGHT: Final = False


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: sign-in, hiding rule, new account, payment; within about two hours."""
    dice, clerk = tale.dice, tale.cast.person("finance")
    vendor = tale.cast.vendor(
        lambda v: v.a_month >= 4 and v.usual_cents > 60_000 and v.terms_d < 30
    )
    outside, device, country = public_ip(dice), device_id(dice), dice.choice(FAR)
    stranger = books.Hand(clerk.account, device, outside)
    tale.about(("user", clerk.account), ("vendor", vendor.uid), ("ip", outside), ("device", device))
    mark = tale.step("sign-in from a new device and country")
    yield cloud.sign_in(tale.later(0), clerk.mail, outside, device, country, mark=mark)
    words = dice.choice(("invoice;payment", "payment;bank;IBAN", "invoice;remittance;account"))
    rule = f"SubjectContainsWords: {words}; MoveToFolder: RSS Feeds; MarkAsRead: True"
    mark = tale.step("rule hides invoice mails")
    yield cloud.mailbox(tale.later(6, 10), clerk.mail, "New-InboxRule", outside, device, rule, mark)
    mark = tale.step("vendor's account changed")
    new = iban(dice, dice.choice(("DE", "PL", "LT", "ES")))
    yield books.bank_changed(
        tale.later(22, 30), stranger, vendor.uid, new, mark, confirmation="none"
    )
    usual = vendor.usual_cents * (1 + 3 * vendor.spread)
    amount = int(usual * dice.uniform(4.5, 9.0)) + dice.randrange(100)
    invoice = f"INV-{tale.begin_us // 1_000_000 % 10**7}-{tale.number}"
    at = tale.later(36, 44)
    yield books.invoice_made(at, stranger, invoice, vendor.uid, amount, due_day(at, 3))
    approver = tale.cast.person("management", "finance")
    at += dice.randrange(6 * MINUTE, 15 * MINUTE)
    yield books.invoice_approved(at, books.of(approver), invoice)
    payment, mark = f"PAY-{invoice[4:]}", tale.step("payment far above the usual")
    at += dice.randrange(5 * MINUTE, 12 * MINUTE)
    yield books.payment_made(at, stranger, payment, invoice, mark)
    tale.about(("document", payment))
    releaser = books.of(tale.cast.person("finance", "management"))
    yield books.payment_approved(at + 20 * MINUTE, releaser, payment)
    yield books.payment_paid(at + 5 * HOUR, releaser, payment)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell a vendor that really moves its bank: asked back by phone, paid the usual."""
    dice, clerk, other = (
        tale.dice,
        tale.cast.person("finance"),
        tale.cast.person("purchasing", "finance"),
    )
    vendor = tale.cast.vendor(lambda v: v.a_month >= 3)
    tale.about(("vendor", vendor.uid), ("user", clerk.account))
    mail = f"accounts@{vendor.domain}"
    yield cloud.received(
        tale.later(0), mail, clerk.mail, "Our new bank details", attachments="letter.pdf"
    )
    yield cloud.sign_in(tale.later(4), clerk.mail, tale.company.office_ip, clerk.device, HOME)
    mark = tale.step("account changed, confirmed by another")
    yield books.bank_changed(
        tale.later(60, 90),
        books.of(clerk),
        vendor.uid,
        iban(dice),
        mark,
        confirmation="phone",
        confirmed_by=other.account,
    )
    amount = int(vendor.usual_cents * dice.uniform(0.85, 1.15))
    invoice = f"INV-{tale.begin_us // 1_000_000 % 10**7}-{tale.number}"
    at = tale.later(110, 130)
    yield books.invoice_made(at, books.of(clerk), invoice, vendor.uid, amount, due_day(at, 10))
    yield books.invoice_approved(at + 40 * MINUTE, books.of(other), invoice)
    payment, mark = f"PAY-{invoice[4:]}", tale.step("ordinary payment")
    yield books.payment_made(at + 60 * MINUTE, books.of(clerk), payment, invoice, mark)
    yield books.payment_approved(at + 80 * MINUTE, books.of(other), payment)
    yield books.payment_paid(at + 4 * HOUR, books.of(other), payment)
