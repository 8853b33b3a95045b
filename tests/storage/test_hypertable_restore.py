"""A dump comes back with the events in the form this server has: a hypertable or partitions."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.database import Database
from storage.database.commit import copy_events
from storage.database.dialect import drop_before, ensure_days, partitions
from storage.database.dump import read_back, settle, snapshot
from storage.database.roles import ensure_roles, logins
from storage.schema import EventBatch
from storage.settings import Secret, Settings
from tests.services import address_of
from tests.storage.made_events import START, batch_of

# The form hangs on the server's clock: the last 90 days have chunks of their own.
FIRST = datetime.now(UTC).date() - timedelta(days=6)
DAY = (FIRST - date(1970, 1, 1)).days
Lend = Callable[[bool], str]


@pytest.fixture
def lend() -> Iterator[Lend]:
    """Make databases of the real server, with the extension or without."""
    admin = address_of("timescaledb")
    made: list[str] = []

    def new(with_timescale: bool) -> str:
        made.append(f"test_{uuid.uuid4().hex[:12]}")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {made[-1]}".encode())
        url = make_conninfo(admin, dbname=made[-1])
        if with_timescale:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("SET client_min_messages = error")
                connection.execute("CREATE EXTENSION timescaledb")
        return url

    yield new
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def _open(url: str) -> Iterator[Database]:
    database = Database.open(Settings(database_url=Secret(url)))
    try:
        yield database
    finally:
        database.close()


def _write(database: Database, tenant: str, rows: int, first: int) -> None:
    frame = batch_of(tenant, rows, first=first, step=timedelta(hours=1)).frame
    batch = EventBatch.of(frame.with_columns(pl.col("time") + (FIRST - START.date())))
    ensure_days(database, sorted(set(batch.frame["time"].dt.epoch("d"))))
    with database.writer() as tx:
        copy_events(tx, batch)


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_a_restored_house_goes_on_in_the_form_of_its_server(
    lend: Lend, tmp_path: Path, before: bool, after: bool
) -> None:
    source, target = lend(before), lend(after)
    days = {f"events_{FIRST + timedelta(days=n):%Y%m%d}" for n in range(5)}
    with _open(source) as database:
        database.create_tenant("acme", "Acme")
        _write(database, "acme", 100, 0)
        with snapshot(database.owner_login()) as moment:
            moment.write(tmp_path / "dump")
            digests = moment.digests()
    with psycopg.connect(target, autocommit=True) as connection:
        ensure_roles(connection, logins(target))
    back = read_back(target, tmp_path / "dump")
    assert {n: d for n, d in back.items() if d[0]} == {n: d for n, d in digests.items() if d[0]}
    settle(target)
    settle(target)  # twice is once
    with _open(target) as database:
        with psycopg.connect(target) as connection:
            told = connection.execute(
                "SELECT relkind = 'p', (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid) "
                "FROM pg_class AS c WHERE oid = 'inopsio.events'::regclass"
            ).fetchone()
        assert told is not None
        assert told[0] is not after
        assert told[1] >= 5
        assert {p.name for p in partitions(database)} >= days
        _write(database, "acme", 10, 100)
        with psycopg.connect(target) as connection:
            rows = connection.execute("SELECT count(*) FROM inopsio.events").fetchone()
            alone = connection.execute("SELECT count(*) FROM ONLY inopsio.events").fetchone()
        assert rows == (110,)
        assert alone == (0,)
        drop_before(database, (DAY + 2) * 86_400_000_000)
        with psycopg.connect(target) as connection:
            least = connection.execute("SELECT min(time) FROM inopsio.events").fetchone()
        assert least is not None
        assert (least[0].date() - date(1970, 1, 1)).days == DAY + 2
