"""Somebody gives notice, takes the customer list, and carries it to a cloud of their own."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, cloud
from deploy.demo.company import public_ip
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.tale import Tale
from deploy.demo.wire import asked, flow

NAME: Final = "leaver"
START_H: Final = (9.0, 11.0)
FIRST_DAY: Final = 6
AT_NIGHT: Final = False
_CLOUDS: Final = (
    "g.api.mega.co.nz",
    "content.dropboxapi.com",
    "upload.pcloud.com",
    "www.dropbox.com",
    "uploads.wetransfer.com",
)


def planted(tale: Tale, days: tuple[int, int] = (1, 4)) -> Iterator[Row]:
    """Tell it: the notice, some days later the export, within hours the upload."""
    dice, who = tale.dice, tale.cast.person("sales")
    tale.about(("user", who.account), ("host", who.host), ("ip", who.ip))
    yield cloud.person(tale.later(0), who, 5, tale.step("notice"))
    day = dice.randint(*days)
    at = tale.in_hours(day, dice.uniform(15.0, 16.5)) if day else tale.later(120, 200)
    records, mark = dice.randint(4200, 9800), tale.step("export of thousands of contacts")
    yield books.exported(
        at, who.account, who.device, who.ip, "contacts", records, "all contacts", mark
    )
    target, domain = public_ip(dice), dice.choice(_CLOUDS)
    at += dice.randrange(12 * MINUTE, 70 * MINUTE)
    mark = tale.step("upload to a personal cloud")
    yield asked(dice, at, who.ip, tale.dns(), domain, target, mark)
    size = int(dice.uniform(230, 480) * 1e6)
    yield flow(dice, at + SECOND, who.ip, (target, 443), size, size // 800, seconds=160, mark=mark)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the yearly report: as many records, by its owner, who stays and uploads nothing."""
    dice, who = tale.dice, tale.cast.person("management", "sales", "finance")
    tale.about(("user", who.account))
    for n in range(2):
        mark = tale.step("the annual report is exported")
        at = tale.later(n * 45, n * 45 + 20)
        yield books.exported(
            at,
            who.account,
            who.device,
            who.ip,
            "contacts",
            dice.randint(4200, 8800),
            "annual",
            mark,
        )
    service = tale.company.service("meridian.sharepoint.com")
    at = tale.later(100)
    yield flow(dice, at, who.ip, (service.ips[0], 443), 34_000_000, 80_000, seconds=20)
