"""Write the events of the hot days."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.rows import copy_events
from storage.outcome import Outcome

NAME: Final = "events"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Copy the outcome's events into the hot table."""
    copy_events(tx, *outcome.batches)
