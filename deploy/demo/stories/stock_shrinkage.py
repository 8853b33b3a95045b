"""Stock is taken off the books at night by an account whose owner is at home."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, plans
from deploy.demo.company import device_id
from deploy.demo.rows import HOUR, MINUTE, Row
from deploy.demo.tale import Tale

NAME: Final = "stock_shrinkage"
START_H: Final = (22.0, 23.4)
FIRST_DAY: Final = 5
AT_NIGHT: Final = True


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: some items, a dozen or two pieces each, within half an hour."""
    dice, who = tale.dice, tale.cast.person("production", "purchasing")
    hand = books.Hand(who.account, device_id(dice), f"10.20.8.{10 + tale.number}")
    mark = tale.step("stock taken at night")
    at = tale.later(0)
    for uid, _, _ in dice.sample(tale.company.items, dice.randint(2, 4)):
        tale.about(("item", uid), ("user", who.account))
        yield books.stock_changed(at, hand, uid, -dice.randint(8, 40), "breakage", mark)
        at += dice.randrange(2 * MINUTE, 9 * MINUTE)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the inventory count: two count all night, as was announced the day before."""
    dice, boss = tale.dice, tale.cast.person("management", "finance")
    mark = tale.step("count announced")
    uid = f"PLAN-S{tale.number}"
    at, begin_us = tale.later(0), tale.in_hours(1, dice.uniform(20.0, 21.0))
    # For that night only: a plan excuses whatever happens while it lasts.
    night = ((begin_us - at) / HOUR - 1, (begin_us - at) / HOUR + 5)
    yield plans.announced(at, boss.account, "stock_count", uid, "stock", night, mark=mark)
    mark = tale.step("stock put right")
    for _ in range(2):
        who = tale.cast.person("production", "purchasing")
        tale.about(("user", who.account))
        for uid, _, _ in dice.sample(tale.company.items, 8):
            change = dice.choice((-9, -4, -2, -1, 1, 3))
            when = begin_us + dice.randrange(150 * MINUTE)
            yield books.stock_changed(when, books.of(who), uid, change, "count", mark)
