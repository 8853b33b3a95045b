"""Count per entity and class by the minute, hour and day: appended by commits, folded at times.

A commit copies its counts, packed, into a table without an index, in the transaction that moves the
offset.
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
FOLD_AT: Final = 250_000
"""Counts that a process appends before it folds; the keeper folds what slower ones leave."""
_QUOTED: Final = {"\\": "\\\\", '"': '\\"'}
"""How a character stands in an element of an array."""


def add_window_counts(tx: Connection[TupleRow], counts: pl.DataFrame) -> None:
    """Append the counts (columns: those of `Outcome.window_counts`) to what is to be folded."""
    if counts.is_empty():
        return
    rows = storable_csv(_packed(counts))
    with tx.cursor() as cursor, cursor.copy(named("rollups_append")) as copy:
        copy.write(rows)


def _packed(counts: pl.DataFrame) -> pl.DataFrame:
    """Give rows of `entity_packs`: the entities of a tenant, type, class and minute, as arrays."""
    longest = counts.get_column("entity").str.len_bytes().max()
    name = pl.col("entity")
    # Counting letters costs ten times as much as counting bytes, and cutting is rare.
    name = name.str.head(KEY_MAX) if isinstance(longest, int) and longest > KEY_MAX else name
    keys = ["tenant_id", "entity_type", "class_uid", "minute"]
    lists = (
        counts.select(
            *keys[:3],
            pl.col("window_start").dt.truncate("1m").alias("minute"),
            name.str.replace_many(_QUOTED).alias("entities"),
            "events",
        )
        .group_by(keys)
        .agg("entities", "events")
    )
    entities = pl.col("entities").list.join('","')
    events = pl.col("events").cast(pl.List(pl.String)).list.join(",")
    return lists.select(
        *keys,
        pl.concat_str(pl.lit('{"'), entities, pl.lit('"}')).alias("entities"),
        pl.concat_str(pl.lit("{"), events, pl.lit("}")).alias("events"),
    )


def fold(db: Database) -> int:
    """Add what commits appended to the rollups; give how many counts that was.

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
