"""A seller puts the customers' records into a handy service that nobody in the house has bought."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, plans
from deploy.demo.company import Person, public_ip
from deploy.demo.names import LINE
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.tale import Tale
from deploy.demo.windows import logon
from deploy.demo.wire import asked, flow

NAME: Final = "shadow_service"
START_H: Final = (9.0, 15.0)
FIRST_DAY: Final = 2
AT_NIGHT: Final = False


def _told(tale: Tale, who: Person, domain: str, after_min: int = 0) -> Iterator[Row]:
    dice, target = tale.dice, public_ip(tale.dice)
    tale.about(("user", who.account), ("host", who.host), ("domain", domain))
    yield logon(tale.later(after_min), (who.host, who.ip), who.account, 2, (who.host, "127.0.0.1"))
    at, mark = tale.later(after_min + 10, after_min + 30), tale.step("customers' records exported")
    records = dice.randint(180, 420)
    yield books.exported(
        at, who.account, who.device, who.ip, "contacts", records, "my customers", mark
    )
    at += dice.randrange(4 * MINUTE, 50 * MINUTE)
    mark = tale.step("carried to a service of their own choice")
    yield asked(dice, at, who.ip, tale.dns(), domain, target)
    size = dice.randint(260_000, 2_400_000)
    yield flow(dice, at + SECOND, who.ip, (target, 443), size, 40_000, seconds=6, mark=mark)


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: an export, and within the hour an upload."""
    dice = tale.dice
    domain = f"app.{dice.choice(LINE).lower()}-sorter{dice.randint(2, 99)}.example"
    yield from _told(tale, tale.cast.person("sales"), domain)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the trial that IT has registered for that seller."""
    dice, who, helper = tale.dice, tale.cast.person("sales"), tale.cast.person("it")
    domain = f"app.{dice.choice(LINE).lower()}-mapper{dice.randint(2, 99)}.example"
    mark = tale.step("trial registered")
    at, uid = tale.later(0), f"PLAN-T{tale.number}"
    yield plans.announced(
        at, helper.account, "trial", uid, domain, (0, 300), who=who.account, mark=mark
    )
    yield from _told(tale, who, domain, 90)
