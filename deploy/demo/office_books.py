"""Tell an ordinary day of the books: vendors' invoices and payments, deals, prices, exports."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from deploy.demo import books, cloud
from deploy.demo.calendar import Calendar
from deploy.demo.company import Company, Customer, Person, Vendor, address, iban
from deploy.demo.rows import DAY, HOUR, MINUTE, SECOND, Row

_STAGES: Final = ("qualified", "proposal", "negotiation", "won")
_REPORTS: Final = ("open deals", "my contacts", "visit list", "mailing", "forecast")
MIGRATION: Final = books.Hand("svc.migration", "", "10.20.0.5")


def due_day(time_us: int, days: int) -> str:
    """Give the day on which something is due, so many days later: 2026-06-01."""
    return datetime.fromtimestamp((time_us + days * DAY) / 1e6, UTC).strftime("%Y-%m-%d")


def opening(company: Company, at_us: int) -> Iterator[Row]:
    """Tell the master data as they were brought over when the books were opened."""
    step = SECOND // 5
    at = at_us
    for person in company.people:
        at += step
        yield cloud.person(at, person, 1)
    for vendor in company.vendors:
        at += step
        yield books.vendor_made(at, MIGRATION, vendor)
    for uid, name, price in company.items:
        at += step
        yield books.item_made(at, MIGRATION, uid, name, price)
    for customer in company.customers:
        at += step
        yield books.company_made(at, MIGRATION, customer)
        for uid, name, mail in customer.contacts:
            at += step
            yield books.contact_made(at, MIGRATION, uid, customer.uid, name, mail)


def billed(dice: random.Random, company: Company, calendar: Calendar, day: int) -> Iterator[Row]:
    """Tell what vendors begin on a worked day; approvals and payments of later days come along."""
    for vendor in company.vendors:
        if dice.random() < vendor.a_month / 21:
            yield from _billed(dice, company, calendar, day, vendor)
        if dice.random() < 0.0012:
            yield from _moved_bank(dice, company, calendar.begins(day), vendor)
    hand = books.of(dice.choice(company.by("purchasing")))
    at = calendar.begins(day) + int(dice.uniform(9, 16) * HOUR)
    if dice.random() < 0.5:
        uid, _, price = dice.choice(company.items)
        new = int(price * dice.uniform(0.93, 1.09))
        if dice.random() < 0.06:
            # A digit too many, seen and put right at once.
            yield books.price_changed(at - 3 * MINUTE, hand, uid, new * 10)
        yield books.price_changed(at, hand, uid, new)
    if dice.random() < 0.2:
        vendor = dice.choice(company.vendors)
        yield books.vendor_changed(at + 5 * MINUTE, hand, vendor.uid, address(dice))


def sold(dice: random.Random, company: Company, calendar: Calendar, day: int) -> Iterator[Row]:
    """Tell what sellers begin on a worked day; the deals' later days come along."""
    for seller in company.by("sales"):
        yield from _sold(dice, company, calendar, day, seller)


def _billed(
    dice: random.Random, company: Company, calendar: Calendar, day: int, vendor: Vendor
) -> Iterator[Row]:
    finance = company.by("finance")
    clerk = finance[vendor.clerk % len(finance)]
    others = [p for p in finance + company.by("management") if p is not clerk]
    approver, treasurer = dice.choice(others), dice.choice(others)
    at = calendar.begins(day) + int(dice.uniform(8.5, 16.0) * HOUR) + dice.randrange(SECOND)
    amount = max(500, int(vendor.usual_cents * dice.lognormvariate(0, vendor.spread)))
    uid = f"INV-{day + 1000:04d}{vendor.uid[2:]}"
    yield books.invoice_made(
        at, books.of(clerk), uid, vendor.uid, amount, due_day(at, vendor.terms_d)
    )
    worked = calendar.worked(day + 1, day + vendor.terms_d + 12)
    approved = calendar.begins(worked[0]) + int(dice.uniform(8.5, 12) * HOUR)
    yield books.invoice_approved(approved, books.of(approver), uid)
    run = calendar.begins(worked[min(len(worked) - 1, int(vendor.terms_d * 0.6))])
    payment = f"PAY-{uid[4:]}"
    proposed = run + int(dice.uniform(9.5, 10.5) * HOUR)
    yield books.payment_made(proposed, books.of(clerk), payment, uid)
    yield books.payment_approved(
        run + int(dice.uniform(11, 12) * HOUR), books.of(treasurer), payment
    )
    yield books.payment_paid(
        run + 15 * HOUR + dice.randrange(10 * MINUTE), books.of(treasurer), payment
    )


def _moved_bank(dice: random.Random, company: Company, begin: int, vendor: Vendor) -> Iterator[Row]:
    finance = company.by("finance")
    clerk, other = dice.sample(finance, 2)
    yield books.bank_changed(
        begin + int(dice.uniform(9, 16) * HOUR),
        books.of(clerk),
        vendor.uid,
        iban(dice),
        confirmation=dice.choice(("phone", "phone", "letter")),
        confirmed_by=other.account,
    )


def _sold(
    dice: random.Random, company: Company, calendar: Calendar, day: int, seller: Person
) -> Iterator[Row]:
    sellers = company.by("sales")
    own = [c for c in company.customers if sellers[c.seller % len(sellers)] is seller]
    begin, hand = calendar.begins(day), books.of(seller)
    if own and dice.random() < 0.25:
        yield from _deal(dice, calendar, day, hand, dice.choice(own))
    if dice.random() < 0.12:
        at = begin + int(dice.uniform(9, 17) * HOUR)
        count = int(min(700, dice.lognormvariate(4.2, 0.8))) + 8
        report = dice.choice(_REPORTS)
        yield books.exported(
            at, seller.account, seller.device, seller.ip, "contacts", count, report
        )
    if own and dice.random() < 0.08:
        customer, number = dice.choice(own), dice.randint(100, 999)
        at = begin + int(dice.uniform(9, 17) * HOUR)
        uid = f"C-{day + 1000}{seller.uid[2:]}"
        mail = f"contact{number}@{customer.domain}"
        yield books.contact_made(at, hand, uid, customer.uid, f"Contact {number}", mail)


def _deal(
    dice: random.Random, calendar: Calendar, day: int, hand: books.Hand, customer: Customer
) -> Iterator[Row]:
    at = calendar.begins(day) + int(dice.uniform(9, 16) * HOUR) + dice.randrange(SECOND)
    uid = f"D-{day + 1000}{customer.uid[2:]}"
    contact = dice.choice(customer.contacts)[2]
    amount = int(100 * dice.lognormvariate(8.6, 0.9))
    yield books.deal_made(at, hand, uid, customer.uid, amount, contact)
    worked = calendar.worked(day + 1, day + 25)
    last = 0
    for stage in _STAGES:
        last += dice.randint(1, 4)
        if last >= len(worked) or dice.random() < 0.2:
            return
        when = calendar.begins(worked[last]) + int(dice.uniform(9, 16.5) * HOUR)
        yield books.stage_changed(when, hand, uid, stage)
        if stage == "proposal" and dice.random() < 0.5:
            percent = float(dice.choice((3, 5, 5, 8, 10, 10, 12, 15, 20)))
            if dice.random() < 0.02:
                # Typed wrongly, seen and put right at once.
                yield books.discounted(when + 5 * MINUTE, hand, uid, min(90.0, percent * 10))
            yield books.discounted(when + 7 * MINUTE, hand, uid, percent)
