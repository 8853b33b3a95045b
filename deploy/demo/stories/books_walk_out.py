"""An administrator's account comes in as never before, takes the ledger and carries it out."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, cloud, plans
from deploy.demo.company import HOME, Person, device_id, public_ip
from deploy.demo.names import FAR
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.tale import Tale
from deploy.demo.wire import asked, flow

NAME: Final = "books_walk_out"
START_H: Final = (9.0, 19.0)
FIRST_DAY: Final = 4
AT_NIGHT: Final = False


def _told(
    tale: Tale, begin_us: int, who: Person, country: str, domain: str, report: str
) -> Iterator[Row]:
    """Tell the sign-in through the tunnel, the export and the upload, all from one address."""
    dice = tale.dice
    device, tunnel, target = device_id(dice), f"10.20.9.{10 + tale.number}", public_ip(dice)
    tale.about(("user", who.account), ("ip", tunnel), ("ip", target))
    mark = tale.step("administrator signs in from a new device")
    yield cloud.sign_in(begin_us, who.mail, tunnel, device, country, admin=True, mark=mark)
    at = begin_us + dice.randrange(8 * MINUTE, 30 * MINUTE)
    mark = tale.step("ledger exported")
    records = dice.randint(30_000, 90_000)
    yield books.exported(at, who.account, device, tunnel, "ledger", records, report, mark)
    at += dice.randrange(9 * MINUTE, 45 * MINUTE)
    mark = tale.step("large upload from that address")
    yield asked(dice, at, tunnel, tale.dns(), domain, target)
    size = int(dice.uniform(180, 420) * 1e6)
    yield flow(dice, at + SECOND, tunnel, (target, 443), size, size // 900, seconds=140, mark=mark)


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: three steps within two hours."""
    dice, who = tale.dice, tale.cast.person("it")
    domain = f"up-{dice.randint(100, 999)}.transfer-point.example"
    yield from _told(tale, tale.later(0), who, dice.choice(FAR), domain, "all entries")


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the auditor: with a new laptop, announced by the head of finance."""
    dice, who = tale.dice, tale.cast.person("it", "finance")
    boss = tale.cast.person("management", "finance")
    mark = tale.step("audit announced")
    report, uid = f"audit {tale.number}", f"PLAN-A{tale.number}"
    yield plans.announced(
        tale.later(0), boss.account, "audit", uid, report, (0, 200), who=who.account, mark=mark
    )
    for day in (0, 1):
        at = tale.later(20) if day == 0 else tale.in_hours(day, dice.uniform(9.0, 10.0))
        yield cloud.sign_in(at, who.mail, who.ip, who.device, HOME, admin=True)
    at = tale.in_hours(2, dice.uniform(9.5, 15.0))
    yield from _told(tale, at, who, HOME, "upload.audit-portal.example", report)
