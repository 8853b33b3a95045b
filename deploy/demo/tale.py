"""Hold one telling of a story: its cast, its moment, and the steps that a judge looks for."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from deploy.demo.calendar import Calendar
from deploy.demo.company import Company, Customer, Person, Vendor
from deploy.demo.rows import HOUR, MINUTE, Row

T = TypeVar("T")
PLANTED: Final = "planted"
NEAR_MISS: Final = "near_miss"


@dataclass(slots=True)
class Tale:
    """One telling. `number`: its place in the plan; `begin_us`: its first step, UTC µs.

    `cast` hands out people, vendors and customers that no other tale of the plan has.
    """

    number: int
    name: str
    kind: str
    company: Company
    calendar: Calendar
    dice: random.Random
    begin_us: int
    cast: "Cast"
    steps: list[str] = field(default_factory=list)
    entities: list[tuple[str, str]] = field(default_factory=list)

    def step(self, name: str) -> tuple[int, int]:
        """Open a step; give its mark."""
        self.steps.append(name)
        return self.number, len(self.steps) - 1

    def about(self, *entities: tuple[str, str]) -> None:
        """Note whom the story is about: (type, name)."""
        self.entities.extend(entities)

    def later(self, first_min: float, last_min: float | None = None) -> int:
        """Give a moment so many minutes after the begin, drawn between two if two are given."""
        minutes = first_min if last_min is None else self.dice.uniform(first_min, last_min)
        return self.begin_us + int(minutes * MINUTE) + self.dice.randrange(1_000_000)

    def in_hours(self, day: int, hour: float) -> int:
        """Give a moment on the `day`-th worked day after the begin's own day, at a local hour."""
        own = (self.begin_us - self.calendar.first_us) // (24 * HOUR)
        worked = self.calendar.worked(own + 1, own + 3 * day + 8)
        there = own if day == 0 else worked[day - 1]
        return self.calendar.begins(there) + int(hour * HOUR) + self.dice.randrange(60_000_000)

    def dns(self) -> str:
        """Give the address of the company's own name server."""
        return self.company.server("dc").ip


class Cast:
    """Hand out people, vendors and customers, each to one tale only while there are enough."""

    def __init__(self, dice: random.Random, company: Company) -> None:
        """Shuffle everybody once."""
        self._dice, self._company = dice, company
        self._people = dice.sample(company.people, len(company.people))
        self._vendors = dice.sample(company.vendors, len(company.vendors))
        self._customers = dice.sample(company.customers, len(company.customers))

    def person(self, *departments: str) -> Person:
        """Take somebody of one of the departments (of any, if none is named)."""
        if not self._people:
            self._people = self._dice.sample(self._company.people, len(self._company.people))
        found = _first(self._people, lambda p: not departments or p.department in departments)
        self._people.remove(found)
        return found

    def vendor(self, suits: Callable[[Vendor], bool] = lambda _: True) -> Vendor:
        """Take a vendor, one that suits if there is one."""
        if not self._vendors:
            self._vendors = self._dice.sample(self._company.vendors, len(self._company.vendors))
        found = _first(self._vendors, suits)
        self._vendors.remove(found)
        return found

    def customer(self, suits: Callable[[Customer], bool] = lambda _: True) -> Customer:
        """Take a customer, one that suits if there is one."""
        found = _first(self._customers, suits)
        self._customers.remove(found)
        return found


def _first(those: list[T], suits: Callable[[T], bool]) -> T:
    return next((one for one in those if suits(one)), None) or those[0]


def marked(rows: Iterable[Row], mark: tuple[int, int]) -> Iterator[Row]:
    """Give the rows as rows of a step."""
    for row in rows:
        yield replace(row, mark=mark)
