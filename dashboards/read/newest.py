"""Say where the present of a tenant ends: now, or where replayed logs end."""

from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import select

_STILL: Final = timedelta(days=2)


def end_of(tx: Connection[TupleRow], now: datetime) -> datetime:
    """Give now and ten minutes; an hour after the newest claim if that is far from now.

    Replayed logs are as old as they are: what they tell is asked of at their own time.
    """
    newest = select(tx, "investigate_newest")[0]["last_time"]
    if not isinstance(newest, datetime) or abs(now - newest) < _STILL:
        return now + timedelta(minutes=10)
    return newest + timedelta(hours=1)
