"""A seller gives a customer, who is an employee in private, prices beyond what anybody may."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from deploy.demo import books
from deploy.demo.company import Customer, address
from deploy.demo.names import LINE, TRADE
from deploy.demo.rows import MINUTE, Row
from deploy.demo.tale import Tale

NAME: Final = "insider_pricing"
START_H: Final = (9.0, 15.0)
FIRST_DAY: Final = 2
AT_NIGHT: Final = False


def planted(tale: Tale, days: tuple[int, ...] | None = None) -> Iterator[Row]:
    """Tell it: three or four discounts of 31 to 60 percent within two weeks."""
    dice, seller = tale.dice, tale.cast.person("sales")
    friend = (
        seller if dice.random() < 0.5 else tale.cast.person("engineering", "support", "production")
    )
    title = f"{dice.choice(TRADE)} {dice.choice(LINE)}"
    contact = (f"C-{90001 + tale.number}", title, friend.private_mail)
    customer = Customer(f"K-{9001 + tale.number}", f"{title} UG", "", address(dice), (contact,), 0)
    hand = books.of(seller)
    tale.about(("customer", customer.uid), ("user", seller.account))
    yield books.company_made(tale.later(0), hand, customer)
    yield books.contact_made(tale.later(4), hand, contact[0], customer.uid, contact[1], contact[2])
    offsets = days if days is not None else tuple(sorted(dice.sample(range(7), dice.randint(3, 4))))
    mark = tale.step("discounts beyond policy")
    for n, day in enumerate(offsets):
        at = (
            tale.later(10 + 30 * n, 30 + 30 * n)
            if day == 0
            else tale.in_hours(day, dice.uniform(9, 16))
        )
        deal = f"D-{at // 1_000_000 % 10**7}-{tale.number}"
        yield books.deal_made(
            at, hand, deal, customer.uid, dice.randint(400_000, 4_000_000), contact[2]
        )
        percent = round(dice.uniform(32, 60), 1)
        yield books.discounted(
            at + dice.randrange(2 * MINUTE, 9 * MINUTE), hand, deal, percent, mark
        )


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the campaign of the season: the same discount for many, named and approved."""
    dice, boss = tale.dice, tale.cast.person("management")
    campaign = f"season-{tale.calendar.begins(0) // 10**12 % 100}"
    mark = tale.step("campaign discounts")
    sellers = tale.company.by("sales")
    for n in range(12):
        customer: Customer = replace(tale.company.customers[(7 * n) % len(tale.company.customers)])
        tale.about(("customer", customer.uid))
        hand = books.of(sellers[customer.seller % len(sellers)])
        at = tale.later(12 * n, 12 * n + 8)
        deal = f"D-{at // 1_000_000 % 10**7}-{tale.number}{n:02d}"
        contact = customer.contacts[0][2]
        yield books.deal_made(
            at, hand, deal, customer.uid, dice.randint(400_000, 4_000_000), contact
        )
        yield books.discounted(
            at + 3 * MINUTE,
            hand,
            deal,
            35.0,
            mark,
            campaign=campaign,
            approved_by=boss.account,
        )
