"""Somebody sends in the company's name: a key, a template with a strange link, a flood of mails."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import mailing, plans
from deploy.demo.company import public_ip
from deploy.demo.names import LINE, TRADE
from deploy.demo.rows import MINUTE, Row
from deploy.demo.tale import Tale

NAME: Final = "campaign_hijack"
START_H: Final = (9.0, 15.0)
FIRST_DAY: Final = 5
AT_NIGHT: Final = False


def _told(tale: Tale, begin_us: int, ip: str, account: str, domain: str) -> Iterator[Row]:
    dice, key = tale.dice, f"k-{tale.dice.getrandbits(24):06x}"
    template, campaign = f"tpl-x{tale.number}{dice.randint(10, 99)}", f"camp-{tale.number}"
    url = f"https://{domain}/{dice.choice(('login', 'claim', 'new', 'start'))}"
    tale.about(("domain", domain), ("user", account))
    yield mailing.key_made(begin_us, account, ip, key, tale.step("new key"))
    mark = tale.step("template with a link never sent before")
    at = begin_us + dice.randrange(12 * MINUTE, 40 * MINUTE)
    yield mailing.template_made(at, account, ip, key, template, url, mark)
    mark = tale.step("thousands of mails within the hour")
    at = begin_us + 61 * MINUTE
    # From the full hour on: an hour of the clock is what is counted.
    at += 60 * MINUTE - at % (60 * MINUTE)
    for n in range(dice.randint(9, 14)):
        when = at + n * 3 * MINUTE + dice.randrange(MINUTE)
        mails = dice.randint(380, 700)
        yield mailing.sent(when, account, ip, key, template, campaign, mails, url, mark)


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: all within three hours, from outside, as somebody of sales."""
    dice, who = tale.dice, tale.cast.person("sales")
    domain = f"meridian-{dice.choice(TRADE).lower()}-{dice.randint(10, 99)}.example"
    yield from _told(tale, tale.later(0), public_ip(dice), who.account, domain)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the launch of a product: the same from within, announced by the boss the day before."""
    dice, who = tale.dice, tale.cast.person("sales")
    boss = tale.cast.person("management")
    domain = f"{dice.choice(TRADE)}-{dice.choice(LINE)}-launch.example".lower()
    mark = tale.step("launch announced")
    uid = f"PLAN-C{tale.number}"
    yield plans.announced(tale.later(0), boss.account, "campaign", uid, domain, (0, 160), mark=mark)
    at = tale.in_hours(1, dice.uniform(9.0, 14.0))
    yield from _told(tale, at, who.ip, who.account, domain)
