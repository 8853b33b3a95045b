"""The hot table has days: made before they are needed, dropped when they are old."""

from datetime import UTC, date, datetime, timedelta

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database import Database
from storage.database.commit import commit, copy_events
from storage.database.dialect import NEW_DAYS_MAX, drop_before, ensure_days, partitions
from storage.outcome import Outcome
from storage.schema import EventBatch
from tests.storage.made_events import START, batch_of

_ALL = 4_102_444_800_000_000
_FAR = datetime(2031, 3, 1, tzinfo=UTC)


def _copy(tx: Connection[TupleRow], outcome: Outcome) -> None:
    for batch in outcome.batches:
        copy_events(tx, batch)


def _store(db: Database, batch: EventBatch) -> None:
    commit(db, Outcome("f", (), batches=(batch,)), [_copy])


def _days(db: Database) -> list[date]:
    return [p.day for p in partitions(db) if p.day is not None]


def test_a_commit_has_its_days_and_the_next(database: Database) -> None:
    _store(database, batch_of("acme", 10, first=86_400 * 2500))
    first = START.date() + timedelta(days=2500)
    assert {first, first + timedelta(days=1)} <= set(_days(database))
    drop_before(database, _ALL)


def test_many_days_in_one_commit_make_few_partitions(database: Database) -> None:
    before = len(_days(database))
    _store(database, batch_of("acme", 300, step=timedelta(days=1)))
    assert len(_days(database)) <= before + NEW_DAYS_MAX + 1
    with database.owner() as tx:
        tx.execute("RESET ROLE")
        assert tx.execute("SELECT count(*) FROM events").fetchone() == (300,)
    drop_before(database, _ALL)


def test_a_day_that_lies_in_the_rest_stays_there(database: Database) -> None:
    day = int(_FAR.timestamp()) // 86_400
    database.days_known.update({day, day + 1})  # as if it had been refused before
    far = batch_of("acme", 5, first=int((_FAR - START).total_seconds()))
    _store(database, far)
    database.days_known.clear()
    ensure_days(database, [day])
    assert _FAR.date() not in _days(database)


def test_old_days_go_with_their_events(database: Database) -> None:
    drop_before(database, _ALL)
    # Lately: on TimescaleDB the days before the last 90 have no chunks of their own.
    day = datetime.now(UTC).date() - timedelta(days=20)
    first = (day - START.date()).days
    _store(database, batch_of("acme", 4, first=first, step=timedelta(days=1)))
    limit = datetime.combine(day + timedelta(days=2), datetime.min.time(), UTC)
    dropped = drop_before(database, int(limit.timestamp()) * 1_000_000)
    assert dropped == [f"events_{day + timedelta(days=n):%Y%m%d}" for n in (0, 1)]
    with database.owner() as tx:
        tx.execute("RESET ROLE")
        assert tx.execute("SELECT count(*) FROM events").fetchone() == (2,)
    drop_before(database, _ALL)
