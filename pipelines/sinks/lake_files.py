"""Enter the files that a step wrote into the lake's manifest."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.rows import insert_lake_files
from storage.outcome import Outcome

NAME: Final = "lake_files"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Make the files part of the lake: readers follow the manifest, not the folder."""
    insert_lake_files(tx, outcome.lake_files)
