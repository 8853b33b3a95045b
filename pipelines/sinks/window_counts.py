"""Count per entity and class, by the minute; the ledger makes hours and days of it."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.rollups import add_window_counts
from storage.outcome import Outcome

NAME: Final = "window_counts"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Add the outcome's counts to those stored.

    Adding twice would count twice: the commit's offset check lets an outcome through only once.
    """
    if outcome.window_counts is not None:
        add_window_counts(tx, outcome.window_counts)
