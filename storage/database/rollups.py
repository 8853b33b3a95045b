"""Count per entity and class by the minute, hour and day: appended by commits, folded at times.

A commit copies its counts into a table without an index, in the transaction that moves the offset.
A fold takes what lies there and adds it to the three rollups in one transaction, so each count is
in one place at any moment, and an entity's row is touched once a fold instead of once a commit.
"""

from typing import Final

import polars as pl
import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.connections import Database
from storage.database.queries import named, select
from storage.database.rows import KEY_MAX, storable_csv
from storage.errors import Unavailable

log = structlog.get_logger()
FOLD_AT: Final = 100_000
"""Rows that a process appends before it folds; the keeper folds what slower ones leave."""


def add_window_counts(tx: Connection[TupleRow], counts: pl.DataFrame) -> None:
    """Append the counts (columns: those of `Outcome.window_counts`) to what is to be folded."""
    if counts.is_empty():
        return
    longest = counts.get_column("entity").str.len_bytes().max()
    name = pl.col("entity")
    rows = counts.select(
        "tenant_id",
        "entity_type",
        # Counting letters costs ten times as much as counting bytes, and cutting is rare.
        name.str.head(KEY_MAX) if isinstance(longest, int) and longest > KEY_MAX else name,
        "class_uid",
        pl.col("window_start").dt.truncate("1m"),
        "events",
    )
    with tx.cursor() as cursor, cursor.copy(named("rollups_append")) as copy:
        copy.write(storable_csv(rows))


def fold(db: Database) -> int:
    """Add what commits appended to the rollups; give how many rows that was.

    One process at a time: 0 where another is at it.
    """
    with db.writer() as tx:
        if not select(tx, "rollups_alone")[0]["is_alone"]:
            return 0
        return int(str(select(tx, "rollups_fold")[0]["rows"]))


def fold_if_many(db: Database, appended: int) -> None:
    """Note that a commit appended rows, and fold once this process has appended many."""
    db.counts_appended += appended
    if db.counts_appended < FOLD_AT:
        return
    db.counts_appended = 0
    try:
        fold(db)
    except Unavailable as down:
        # What was appended lies safe; the next fold, or the keeper's, takes it.
        log.warning("rollups_not_folded", reason=str(down)[:300])
