"""`inopsio simulate`: write the demo company's days, with its planted stories, to files."""

from datetime import UTC, datetime
from pathlib import Path

import cyclopts

from deploy.demo.calendar import Calendar
from deploy.demo.company import found
from deploy.demo.month import FIRST_DAY, by_day, stream, write
from deploy.demo.plan import planned
from deploy.output import DONE, say
from storage.errors import InvalidInput


def simulate(
    *, out: Path, seed: int = 1, days: int = 30, people: int = 300, start: str = FIRST_DAY
) -> int:
    """Write one NDJSON file a log source and day, commands.ndjson for the books, and truth.json.

    The same seed, days, people and start give the same bytes.

    Parameters
    ----------
    out
        folder to write to.
    seed
        number that everything is drawn from.
    days
        how many days (3 to 366).
    people
        how many employees (20 to 5000).
    start
        first day, such as 2026-06-01.
    """
    if not 3 <= days <= 366 or not 20 <= people <= 5000:
        raise InvalidInput("--days must be 3 to 366 and --people 20 to 5000")
    try:
        first = datetime.strptime(start, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(f"--start {start!r} is no day; write it like {FIRST_DAY}") from None
    calendar = Calendar(int(first.timestamp()) * 1_000_000)
    company = found(seed, people)
    told = planned(seed, company, calendar, days)
    rows = stream(company, calendar, seed, range(days), by_day(told, calendar))
    ledger = write(out, calendar, rows, told, seed)
    for source, count in sorted(ledger.counts.items()):
        say(f"{source:14} {count:>9,}")
    say(f"{'all':14} {sum(ledger.counts.values()):>9,} in {out}")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `simulate`."""
    app.command(simulate)
