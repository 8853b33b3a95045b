"""Place the stories of a stretch of days by the seed: which day, which people."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from deploy.demo.calendar import Calendar
from deploy.demo.company import Company
from deploy.demo.rows import HOUR, Row
from deploy.demo.stories import (
    beaconing,
    books_walk_out,
    campaign_hijack,
    ghost_vendor,
    insider_pricing,
    leaver,
    phishing,
    proxy_approval,
    ransomware,
    shadow_service,
    spraying,
    stock_shrinkage,
    vendor_fraud,
)
from deploy.demo.tale import NEAR_MISS, PLANTED, Cast, Tale

STORIES: Final[tuple[ModuleType, ...]] = (
    vendor_fraud,
    phishing,
    leaver,
    ghost_vendor,
    spraying,
    beaconing,
    ransomware,
    insider_pricing,
    proxy_approval,
    campaign_hijack,
    books_walk_out,
    stock_shrinkage,
    shadow_service,
)
_LATER_D: Final = {"leaver": 9, "insider_pricing": 9, "ghost_vendor": 5, "books_walk_out": 5}
"""Days that a story needs after the one on which it begins."""
_NEXT_DAY: Final = ("campaign_hijack", "stock_shrinkage")


@dataclass(slots=True)
class Told:
    """A story with its rows, of which the judge needs the places later."""

    tale: Tale
    rows: list[Row]


def teller(name: str) -> ModuleType:
    """Give a story's module by its name."""
    return next(s for s in STORIES if name == s.NAME)


def planned(seed: int, company: Company, calendar: Calendar, days: int) -> list[Told]:
    """Tell all stories and their near misses, each on a day of its own where days suffice."""
    dice = random.Random(f"plan {seed}")  # noqa: S311  a made-up month, no secret
    cast = Cast(dice, company)
    free: dict[bool, list[int]] = {}
    told: list[Told] = []
    for kind in (PLANTED, NEAR_MISS):
        for story in STORIES:
            day = _day(dice, calendar, days, story, free)
            at = calendar.begins(day) + int(dice.uniform(*story.START_H) * HOUR)
            told.append(tell(story, kind, len(told), company, calendar, dice, at, cast))
    return told


def tell(
    story: ModuleType,
    kind: str,
    number: int,
    company: Company,
    calendar: Calendar,
    dice: random.Random,
    begin_us: int,
    cast: Cast,
    **more: object,
) -> Told:
    """Tell one story from `begin_us` on; `more`: how, where the story leaves a choice."""
    own = random.Random(dice.getrandbits(64))  # noqa: S311  a made-up month, no secret
    tale = Tale(number, story.NAME, kind, company, calendar, own, begin_us, cast)
    teller_of = story.planted if kind == PLANTED else story.near_miss
    rows: Iterator[Row] = teller_of(tale, **more)
    return Told(tale, sorted(rows, key=lambda row: row.time_us))


def _day(
    dice: random.Random,
    calendar: Calendar,
    days: int,
    story: ModuleType,
    taken: dict[bool, list[int]],
) -> int:
    first = min(story.FIRST_DAY, max(0, days - 2))
    # What needs some days after its begin must end within the stretch.
    last = max(
        first + 1,
        days - _LATER_D.get(story.NAME, 4 if story.NAME in _NEXT_DAY else 1),
    )
    those = list(range(first, last)) if story.AT_NIGHT else calendar.worked(first, last)
    those = those or calendar.worked(0, days) or [first]
    used = taken.setdefault(True, [])
    day = dice.choice([d for d in those if d not in used] or those)
    used.append(day)
    return day
