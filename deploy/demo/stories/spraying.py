"""One address tries a word on many accounts, gets one, adds its own factor, takes the contacts."""

from collections.abc import Iterator
from typing import Final

from deploy.demo import books, cloud
from deploy.demo.company import HOME, device_id, public_ip
from deploy.demo.names import FAR
from deploy.demo.rows import MINUTE, SECOND, Row
from deploy.demo.tale import Tale

NAME: Final = "spraying"
START_H: Final = (8.0, 15.0)
FIRST_DAY: Final = 3
AT_NIGHT: Final = False


def planted(tale: Tale) -> Iterator[Row]:
    """Tell it: four steps within two hours."""
    dice, company, victim = tale.dice, tale.company, tale.cast.person("sales")
    outside, device, country = public_ip(dice), device_id(dice), dice.choice(FAR)
    tale.about(("ip", outside), ("user", victim.account))
    mark = tale.step("failures for many accounts")
    others = [p for p in company.people if p is not victim]
    tried = dice.sample(others, min(len(others), dice.randint(24, 45)))
    for n, person in enumerate(tried):
        at = tale.later(0) + n * dice.randrange(14 * SECOND, 30 * SECOND)
        yield cloud.sign_in(at, person.mail, outside, device, country, good=False, mark=mark)
    at = tale.later(24, 29)
    yield cloud.sign_in(at, victim.mail, outside, device, country, mark=tale.step("one succeeds"))
    at += dice.randrange(4 * MINUTE, 25 * MINUTE)
    mark = tale.step("second factor enrolled")
    yield cloud.factor_added(at, victim.mail, outside, device, country, mark)
    at += dice.randrange(6 * MINUTE, 30 * MINUTE)
    yield books.exported(
        at,
        victim.account,
        device,
        outside,
        "contacts",
        dice.randint(380, 900),
        "contact list",
        tale.step("export by the account"),
    )


def near_miss(tale: Tale) -> Iterator[Row]:
    """Tell the Monday on which passwords ran out, and one who forgot the new word."""
    dice, company = tale.dice, tale.company
    mark = tale.step("many fail once or twice from the office")
    for person in dice.sample(company.people, min(len(company.people) // 2, 60)):
        at = tale.later(0, 75)
        for n in range(dice.randint(1, 2)):
            slip = at + n * 20 * SECOND
            yield cloud.sign_in(
                slip,
                person.mail,
                company.office_ip,
                person.device,
                HOME,
                good=False,
                detail="password expired",
                mark=mark,
            )
        yield cloud.sign_in(at + MINUTE, person.mail, company.office_ip, person.device, HOME)
    who = tale.cast.person()
    tale.about(("ip", company.office_ip), ("user", who.account))
    mark = tale.step("one account fails many times")
    at = tale.later(80)
    for n in range(15):
        moment = at + n * 25 * SECOND
        yield cloud.sign_in(
            moment, who.mail, company.office_ip, who.device, HOME, good=False, mark=mark
        )
    yield cloud.sign_in(at + 12 * MINUTE, who.mail, company.office_ip, who.device, HOME)
    phone = device_id(dice)
    mark = tale.step("new phone enrolled at the office")
    yield cloud.factor_added(at + 90 * MINUTE, who.mail, company.office_ip, phone, HOME, mark)
