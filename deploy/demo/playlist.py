"""Choose what the living demo tells: all stories in the first two days, then ever new ones."""

import random
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from deploy.demo.calendar import Calendar
from deploy.demo.company import Company
from deploy.demo.plan import STORIES, Told, tell, teller
from deploy.demo.rows import HOUR, MINUTE
from deploy.demo.tale import NEAR_MISS, PLANTED, Cast

_SHORT: Final[dict[str, dict[str, Any]]] = {
    "leaver": {"days": (0, 0)},
    "ghost_vendor": {"days": 0},
    "insider_pricing": {"days": (0, 0, 0)},
}
"""How a story is told where it should end on the day it begins."""
_OPENING: Final[tuple[tuple[int, float, str, str], ...]] = (
    (-2, 13.0, "spraying", PLANTED),
    (-1, 2.0, "beaconing", PLANTED),
    (0, 8.15, "vendor_fraud", PLANTED),
    (0, 9.0, "leaver", PLANTED),
    (0, 9.6, "insider_pricing", PLANTED),
    (0, 10.4, "spraying", PLANTED),
    (0, 11.2, "ghost_vendor", PLANTED),
    (0, 12.5, "phishing", PLANTED),
    (0, 13.2, "shadow_service", PLANTED),
    (0, 13.9, "proxy_approval", PLANTED),
    (0, 14.6, "books_walk_out", PLANTED),
    (0, 19.0, "beaconing", PLANTED),
    (0, 22.3, "stock_shrinkage", PLANTED),
    (1, 1.5, "ransomware", PLANTED),
    (1, 8.5, "vendor_fraud", NEAR_MISS),
    (1, 9.5, "leaver", NEAR_MISS),
    (1, 10.5, "spraying", NEAR_MISS),
    (1, 11.2, "campaign_hijack", PLANTED),
    (1, 12.0, "insider_pricing", NEAR_MISS),
    (1, 12.8, "shadow_service", NEAR_MISS),
    (1, 13.5, "phishing", NEAR_MISS),
    (1, 14.0, "proxy_approval", NEAR_MISS),
)
LIVE_FROM_D: Final = 2
EVERY: Final = 45 * MINUTE
_NIGHTLY: Final = ("beaconing", "ransomware", "stock_shrinkage")


def playlist(seed: int, company: Company, calendar: Calendar) -> Callable[[int], list[Told]]:
    """Give a function from a day to the tales that begin on it, the same whenever it is asked."""

    def tales_of(day: int) -> list[Told]:
        if day < LIVE_FROM_D:
            return _opening(seed, company, calendar, day)
        return _endless(seed, company, calendar, day)

    return tales_of


def _opening(seed: int, company: Company, calendar: Calendar, day: int) -> list[Told]:
    dice = random.Random(f"opening {seed}")  # noqa: S311  a made-up company, no secret
    cast = Cast(dice, company)
    told = []
    for number, (begins, hour, name, kind) in enumerate(_OPENING):
        at = calendar.begins(begins) + int(hour * HOUR)
        told.append((begins, _tell(teller(name), kind, number, company, calendar, dice, at, cast)))
    return [one for begins, one in told if begins == day]


def _endless(seed: int, company: Company, calendar: Calendar, day: int) -> list[Told]:
    dice = random.Random(f"endless {seed} {day}")  # noqa: S311  a made-up company, no secret
    told: list[Told] = []
    at, end = calendar.begins(day), calendar.begins(day + 1)
    while at < end:
        hour = (at - calendar.begins(day)) / HOUR
        those = [s for s in STORIES if (s.NAME in _NIGHTLY) != (7.5 <= hour < 15.5)]
        kind = NEAR_MISS if dice.random() < 0.2 else PLANTED
        number = 100 * day + len(told)
        story, cast = dice.choice(those), Cast(dice, company)
        told.append(_tell(story, kind, number, company, calendar, dice, at, cast))
        # By night hardly anything happens, as everywhere.
        at += int(dice.uniform(0.8, 1.2) * EVERY) * (1 if 7.5 <= hour < 15.5 else 4)
    return told


def _tell(
    story: ModuleType,
    kind: str,
    number: int,
    company: Company,
    calendar: Calendar,
    dice: random.Random,
    at: int,
    cast: Cast,
) -> Told:
    more = _SHORT.get(story.NAME, {}) if kind == PLANTED else {}
    return tell(story, kind, number, company, calendar, dice, at, cast, **more)
