"""Tell an ordinary day of the store, the newsletters, the month's end and the planning."""

import random
from collections.abc import Iterator
from typing import Final

from deploy.demo import books, mailing, plans
from deploy.demo.calendar import Calendar
from deploy.demo.company import Company
from deploy.demo.rows import HOUR, MINUTE, Row

_REASONS: Final = ("breakage", "recount", "sample for a customer", "returned", "wrong bin")
_CONTRACTS: Final = (
    ("Microsoft", "microsoft.com;office365.com;sharepoint.com;microsoftonline.com"),
    ("Atlassian", "atlassian.net"),
    ("Salesforce", "salesforce.com"),
    ("Offsite Backup", "offsite-backup.net"),
)
PORTAL: Final = "10.20.0.200"
"""Where the company's own program that sends newsletters runs."""


def store(dice: random.Random, company: Company, calendar: Calendar, day: int) -> Iterator[Row]:
    """Tell a worked day's corrections of the stock, and now and then an export of the ledger."""
    begin = calendar.begins(day)
    keepers = company.by("production") + company.by("purchasing")
    for _ in range(dice.randint(1, 4)):
        at = begin + int(dice.uniform(8.5, 16.5) * HOUR)
        uid, change = dice.choice(company.items)[0], dice.choice((-3, -2, -1, -1, 1, 2, 4))
        reason = dice.choice(_REASONS)
        yield books.stock_changed(at, books.of(dice.choice(keepers)), uid, change, reason)
    if dice.random() < 0.12:
        who = dice.choice(company.by("finance"))
        at = begin + int(dice.uniform(9, 16) * HOUR)
        records = dice.randint(900, 5200)
        yield books.exported(at, who.account, who.device, who.ip, "ledger", records, "month's end")


def office(dice: random.Random, company: Company, calendar: Calendar, day: int) -> Iterator[Row]:
    """Tell a worked day of the newsletters, and what IT and the managers announce."""
    begin = calendar.begins(day)
    at = begin + int(dice.uniform(9, 11) * HOUR)
    readers = max(40, 3 * len(company.customers))
    own = (mailing.SERVICE, PORTAL, mailing.KEY)
    if dice.random() < 0.04:
        maker = dice.choice(company.by("sales"))
        template = f"tpl-{day + 1000}"
        url = dice.choice((mailing.SITE, f"https://fair-{day + 1000}.example/stand"))
        yield mailing.template_made(at - 50 * MINUTE, maker.account, maker.ip, "", template, url)
    for n in range(3):
        when, part = at + n * 9 * MINUTE, readers // 3 + dice.randint(0, 9)
        yield mailing.sent(when, *own, "tpl-weekly", "weekly", part, mailing.SITE)
    if dice.random() < 0.02:
        maker = dice.choice(company.by("it"))
        yield mailing.key_made(at + HOUR, maker.account, maker.ip, f"k-{dice.getrandbits(24):06x}")
    if dice.random() < 0.05:
        helper, tester = dice.choice(company.by("it")), dice.choice(company.people)
        uid, name = f"PLAN-{day + 1000}", f"tool-{dice.randint(1, 400)}.example"
        yield plans.announced(
            at, helper.account, "trial", uid, name, (0, 14 * 24), who=tester.account
        )


def contracts(company: Company, at_us: int) -> Iterator[Row]:
    """Tell the contracts with services that the company has from the start."""
    by = company.by("purchasing")[0].account
    for n, (partner, domains) in enumerate(_CONTRACTS):
        yield plans.contract(at_us + n * MINUTE, by, f"CON-{n + 1:03d}", partner, domains)
