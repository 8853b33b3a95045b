"""An implant asks its master for orders: every minute, to one address, for hours."""

from collections.abc import Iterator
from typing import Final

from deploy.demo.company import public_ip
from deploy.demo.rows import SECOND, Row
from deploy.demo.tale import Tale
from deploy.demo.wire import flow

NAME: Final = "beaconing"
START_H: Final = (0.0, 18.0)
FIRST_DAY: Final = 2
AT_NIGHT: Final = True


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: connections 60 s apart, give or take three, for four to seven hours."""
    dice, who = tale.dice, tale.cast.person("engineering", "production", "support")
    target, at = public_ip(dice), tale.later(0)
    end = at + int(dice.uniform(4, 7) * 3600) * SECOND
    tale.about(("host", who.host), ("ip", who.ip), ("ip", target))
    mark = tale.step("regular small connections")
    size, answer = dice.randint(180, 420), dice.randint(120, 300)
    while at < end:
        yield flow(
            dice,
            at,
            who.ip,
            (target, 443),
            size + dice.randint(-6, 6),
            answer + dice.randint(-4, 4),
            seconds=dice.uniform(0.15, 0.4),
            mark=mark,
        )
        at += int(dice.uniform(57.2, 62.8) * SECOND)


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell a new agent of the monitoring: as regular, but on many hosts to one known service."""
    dice, company = tale.dice, tale.company
    service = company.service("v10.events.data.microsoft.com")
    mark = tale.step("many hosts poll one service")
    tale.about(("ip", service.ips[0]))
    for person in dice.sample(company.people, min(20, len(company.people) // 3)):
        at, end = tale.later(0, 12), tale.later(180, 240)
        while at < end:
            yield flow(
                dice,
                at,
                person.ip,
                (service.ips[0], 443),
                dice.randint(640, 655),
                dice.randint(210, 220),
                mark=mark,
            )
            at += int(dice.uniform(59.0, 61.0) * SECOND)
