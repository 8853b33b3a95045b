"""On a real TimescaleDB the hot table is a hypertable, and the storage tests hold there as well."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.database import Database, migrate
from storage.database.commit import copy_events
from storage.database.dialect import drop_before, ensure_days, partitions
from storage.database.roles import ensure_roles, logins
from storage.settings import Secret, Settings
from tests.services import address_of
from tests.shared import ROOT
from tests.storage.made_events import batch_of

_SUITES = (
    "dialect",
    "commit",
    "database",
    "rls",
    "migrations",
    "bounds",
    "outbox",
    "rollups",
    "retention",
)


@pytest.fixture
def empty() -> Iterator[str]:
    """Lend a new database of the server, without the extension."""
    admin = address_of("timescaledb")
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield make_conninfo(admin, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _extend(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("CREATE EXTENSION timescaledb")


def _store(db: Database, tenant: str, rows: int, first: int) -> None:
    with db.writer() as tx:
        copy_events(tx, batch_of(tenant, rows, first=first))


def _count(db: Database, name: str) -> int:
    with psycopg.connect(db._logins.owner) as connection:
        found = connection.execute(f"SELECT count(*) FROM inopsio.{name}".encode()).fetchone()
    return int(found[0]) if found else 0


def test_the_storage_tests_hold_on_timescaledb() -> None:
    """Row-level security on every relation and chunk, the four verbs, commits, migrations."""
    given = os.environ | {"INOPSIO_TEST_DATABASE_URL": address_of("timescaledb")}
    files = [*ROOT.glob("tests/storage/test_*.py")]
    wanted = [str(f) for f in files if any(f"test_{s}" in f.name or s in f.name for s in _SUITES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *wanted],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_hot_table_is_a_hypertable_with_chunks_out_of_reach(empty: str) -> None:
    _extend(empty)
    db = Database.open(Settings(database_url=Secret(empty)))
    try:
        with psycopg.connect(empty) as connection:
            told = connection.execute(
                "SELECT hypertable_name, owner FROM timescaledb_information.hypertables"
            ).fetchall()
            schemas = connection.execute(
                "SELECT DISTINCT chunk_schema FROM timescaledb_information.chunks"
            ).fetchall()
        assert (told, schemas) == ([("events", "inopsio_owner")], [("inopsio_chunks",)])
    finally:
        db.close()


def test_odd_clocks_of_the_past_make_no_chunks(empty: str) -> None:
    _extend(empty)
    db = Database.open(Settings(database_url=Secret(empty)))
    try:
        before = len(partitions(db))
        ensure_days(db, [1, 400, 9000])
        for day in (-200_000, -5000, -3000, 0, 500):
            _store(db, "acme", 2, first=86_400 * day)
        assert len(partitions(db)) == before
        assert _count(db, "events") == 10
        drop_before(db, 1_700_000_000_000_000)
        assert len(partitions(db)) == before
        assert _count(db, "events") == 4
    finally:
        db.close()


def test_what_lay_in_partitions_moves_into_chunks(empty: str) -> None:
    """A database that got the extension only after years: nothing is lost."""
    url = Secret(empty)
    with psycopg.connect(logins(empty).owner, autocommit=True) as connection:
        ensure_roles(connection, logins(empty))
        old = [m for m in migrate.read() if m.number < 21]
        migrate.migrate(connection, old)
    db = Database(logins(empty))
    ensure_days(db, [19_844, 19_845])
    _store(db, "acme", 40, first=0)
    _store(db, "acme", 7, first=-86_400 * 3000)
    db.close()
    _extend(empty)
    db = Database.open(Settings(database_url=url))
    try:
        assert _count(db, "events") == 47
        assert {p.name for p in partitions(db)} >= {"events_other", "events_before"}
        with psycopg.connect(empty) as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_class WHERE relname LIKE 'old%'"
            ).fetchone()
        assert found == (0,)
    finally:
        db.close()
