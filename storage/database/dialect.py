"""Keep the hot table in days: ensure them, list them, drop the old ones.

The verbs of retention, for plain PostgreSQL (declarative range partitions) and, where the extension
is in the database, for TimescaleDB: migration 0021 makes the table a hypertable, whose chunks have
the names, the schema and the policies of the partitions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from psycopg import sql

from storage.database.connections import Database
from storage.database.queries import execute, select

DAYS_AHEAD: Final = 3
"""Days, today among them, whose partitions the keeper makes; and the day after."""
NEW_DAYS_MAX: Final = 16
"""Most days asked for in one commit; what more there is goes to the partition for the rest."""
_EPOCH: Final = date(1970, 1, 1)
_BEFORE: Final = "events_before"
"""A hypertable's chunk of what claims to be older than that."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Describe one partition: UTC day or None for the rest, and its size."""

    name: str
    day: date | None
    size_bytes: int


def ensure_days(db: Database, days: Sequence[int]) -> None:
    """Have a partition for each day (days since 1970, most wanted first), and the day after.

    In transactions of their own: making a partition locks the table, and a commit must not hold
    that lock. Days asked for once are not asked for again by this process.
    """
    wanted = [d for d in dict.fromkeys(days) if d not in db.days_known and 0 <= d < 376_000]
    if not wanted:
        return
    ahead = max(wanted) + 1
    for day in wanted[:NEW_DAYS_MAX] + [ahead] * (ahead not in wanted):
        with db.writer() as tx:
            select(tx, "event_days_ensure", days=[_EPOCH + timedelta(days=day)])
    db.days_known.update(wanted)


def prepare_days(db: Database, now_us: int) -> None:
    """Have the days ahead before their events: writers that make chunks wait for each other."""
    today = now_us // 86_400_000_000
    ensure_days(db, [today + n for n in range(DAYS_AHEAD)])


def partitions(db: Database) -> list[Partition]:
    """List the partitions of the hot table, oldest first, the one for the rest last."""
    with db.owner() as tx:
        found = [
            Partition(name, _day_of(name), int(str(row["size_bytes"])))
            for row in select(tx, "event_partitions")
            for name in (str(row["name"]),)
        ]
    return sorted(found, key=lambda p: (p.day is None, p.day or _EPOCH))


def drop_before(db: Database, time_us: int) -> list[str]:
    """Forget events before the day of `time_us` (UTC µs); give the names of the dropped days."""
    limit = datetime.fromtimestamp(time_us // 1_000_000, UTC).date()
    found = partitions(db)
    old = [p.name for p in found if p.day is not None and p.day < limit]
    for name in old:
        with db.owner() as tx:
            tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("inopsio_chunks", name)))
    with db.owner() as tx:
        execute(tx, "event_rest_delete", before=limit)
        if any(p.name == _BEFORE for p in found):
            execute(tx, "event_before_delete", before=limit)
    return old


def _day_of(name: str) -> date | None:
    digits = name.removeprefix("events_")
    return (
        datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date() if digits.isdigit() else None
    )
