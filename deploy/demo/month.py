"""Tell a stretch of days in order of time, write it down, and say apart what was planted."""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import orjson

from deploy.demo.back_office import contracts, office, store
from deploy.demo.calendar import Calendar
from deploy.demo.company import Company
from deploy.demo.desk_life import Day, desks
from deploy.demo.office_books import billed, opening, sold
from deploy.demo.plan import Told
from deploy.demo.rows import DAY, FORMATS, Command, Row
from deploy.demo.server_life import servers

BOOKS_BEFORE_D: Final = 60
"""Days of the books before the first day of the logs: what vendors usually ask for."""
SALES_BEFORE_D: Final = 20
"""The same of deals, of which nobody needs the older ones."""
FIRST_DAY: Final = "2026-06-01"
COMMANDS: Final = "commands.ndjson"
TRUTH: Final = "truth.json"


@dataclass(slots=True)
class Placed:
    """A row with its place in its source: `position` counts the source's lines from 0."""

    row: Row
    position: int


@dataclass(slots=True)
class Ledger:
    """Note, while rows go by, where the steps of the stories are."""

    places: dict[tuple[int, int], dict[str, list[Any]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, row: Row) -> int:
        """Count the row in its source; give its position there."""
        position = self.counts.get(row.source, 0)
        self.counts[row.source] = position + 1
        if row.mark is not None:
            kept = self.places.setdefault(row.mark, {})
            found = row.command.fact if row.command else position
            kept.setdefault(row.source, []).append(found)
        return position


def stream(
    company: Company,
    calendar: Calendar,
    seed: int,
    days: range,
    tales_of: Callable[[int], Iterable[Told]],
    books_before_d: int = BOOKS_BEFORE_D,
) -> Iterator[Row]:
    """Give every row of the days in order of time. `tales_of`: the tales that begin on a day.

    The books begin `books_before_d` days earlier, with the company's master data.
    """
    later: list[tuple[int, int, Row]] = []
    number = itertools.count()

    def keep(rows: Iterable[Row]) -> None:
        for row in rows:
            heapq.heappush(later, (row.time_us, next(number), row))

    opened = days.start - books_before_d
    keep(opening(company, calendar.begins(opened) + DAY // 48))
    keep(contracts(company, calendar.begins(days.start) + DAY // 24))
    for day in range(opened, days.stop):
        sales = day >= days.start - SALES_BEFORE_D
        keep(_rows(company, calendar, seed, day, logs=day in days, sales=sales))
        for tale in tales_of(day):
            keep(tale.rows)
        end = calendar.begins(day + 1)
        while later and later[0][0] < end:
            yield heapq.heappop(later)[2]


def by_day(told: Iterable[Told], calendar: Calendar) -> Callable[[int], list[Told]]:
    """Give a function from a day to the tales that begin on it."""
    begun_on: dict[int, list[Told]] = {}
    for one in told:
        day = (one.tale.begin_us - calendar.first_us) // DAY
        begun_on.setdefault(day, []).append(one)
    return lambda day: begun_on.get(day, [])


def _rows(
    company: Company, calendar: Calendar, seed: int, day: int, *, logs: bool, sales: bool
) -> Iterator[Row]:
    works = calendar.is_worked(day)
    if works:
        dice = random.Random(f"books {seed} {day}")  # noqa: S311  a made-up month, no secret
        yield from billed(dice, company, calendar, day)
        if sales:
            yield from sold(dice, company, calendar, day)
            own = random.Random(f"store {seed} {day}")  # noqa: S311  a made-up month, no secret
            yield from store(own, company, calendar, day)
    if logs:
        dice = random.Random(f"logs {seed} {day}")  # noqa: S311  a made-up month, no secret
        today = Day(dice, company, calendar.begins(day), works=works)
        yield from desks(today)
        yield from servers(today)
        if works:
            own = random.Random(f"office {seed} {day}")  # noqa: S311  a made-up month, no secret
            yield from office(own, company, calendar, day)


def truth(told: list[Told], ledger: Ledger, seed: int) -> list[dict[str, Any]]:
    """Say of each story what it was, when, who, and where its steps are."""
    return [_entry(one, ledger, seed) for one in told]


def _entry(one: Told, ledger: Ledger, seed: int) -> dict[str, Any]:
    tale, steps = one.tale, []
    for n, name in enumerate(tale.steps):
        for source, places in ledger.places.get((tale.number, n), {}).items():
            if source in FORMATS:
                steps.append({"name": name, "source": source, "positions": places})
                continue
            for class_uid, activity, document in places:
                place = {"document_uid": document, "class_uid": class_uid, "activity_id": activity}
                steps.append({"name": name, "source": source, **place})
    return {
        "story": tale.name,
        "kind": tale.kind,
        "seed": seed,
        "start_us": one.rows[0].time_us,
        "end_us": one.rows[-1].time_us,
        "entities": [list(e) for e in tale.entities],
        "steps": steps,
    }


def command_line(command: Command) -> bytes:
    """Write a command as one JSON line."""
    return orjson.dumps(
        {
            "method": command.method,
            "path": command.path,
            "body": command.body,
            **command.who,
        }
    )


def write(
    folder: Path, calendar: Calendar, rows: Iterator[Row], told: list[Told], seed: int
) -> Ledger:
    """Write one NDJSON file a source and day, the commands in one file, and the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger()
    files: dict[str, tuple[int, IO[bytes]]] = {}
    try:
        with (folder / COMMANDS).open("wb") as commands:
            for row in rows:
                ledger.take(row)
                if row.command is not None:
                    commands.write(command_line(row.command) + b"\n")
                    continue
                day = (row.time_us - calendar.first_us) // DAY
                file = files.get(row.source)
                if file is None or file[0] != day:
                    if file is not None:
                        file[1].close()
                    place = folder / f"{row.source}.{day:02d}.ndjson"
                    file = files[row.source] = (day, place.open("wb"))
                file[1].write(row.line + b"\n")
    finally:
        for _, handle in files.values():
            handle.close()
    told_ = truth(told, ledger, seed)
    (folder / TRUTH).write_bytes(orjson.dumps(told_, option=orjson.OPT_INDENT_2) + b"\n")
    return ledger
