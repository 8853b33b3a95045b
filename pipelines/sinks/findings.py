"""Write the findings, and tell the log of those that are new."""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.rows import insert_findings
from storage.outcome import Outcome

NAME: Final = "findings"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Insert the outcome's findings; one that was claimed before stays as it is."""
    insert_findings(tx, outcome.findings)
