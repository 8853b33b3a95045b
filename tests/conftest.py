"""Lend every test a real PostgreSQL: one server and database a process, emptied after each test.

What a test leaves in the outbox must be what the published schemas say.
"""

import importlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as rounds
from psycopg.conninfo import make_conninfo

from storage.database import Database, embedded
from storage.settings import Secret, Settings
from storage.tenant import Actor, Role, Scope

# How fast a busy machine makes examples says nothing about what is tested.
rounds.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
rounds.load_profile("house")

_QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")

# What a test left open must not hold the locks that emptying needs.
_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""
_TOLD = "SELECT topic, headers, value FROM inopsio.outbox ORDER BY outbox_id DESC LIMIT 100"
_EMPTY = """
DO $$
DECLARE
    place text;
    is_used boolean;
BEGIN
    FOR place IN
        SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'inopsio'::regnamespace
        AND relkind IN ('r', 'p') AND relname <> 'migrations'
    LOOP
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || place || ')' INTO is_used;
        IF is_used THEN
            EXECUTE 'TRUNCATE ' || place || ' RESTART IDENTITY CASCADE';
        END IF;
    END LOOP;
    IF (SELECT relkind = 'r' FROM pg_class WHERE oid = 'inopsio.events'::regclass) THEN
        PERFORM inopsio.make_event_rest();  -- emptying a hypertable drops its chunks
    END IF;
END $$
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a migrated database: an owner login on a server of this pytest process.

    INOPSIO_TEST_DATABASE_URL names a server (superuser login) to use instead of a started one.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"inopsio-test-{os.getpid()}-"))
    given = os.environ.get("INOPSIO_TEST_DATABASE_URL")
    try:
        admin = given or embedded.start(folder, _QUICK)
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        _extend(make_conninfo(admin, dbname=name))
        yield make_conninfo(admin, dbname=name)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    finally:
        if not given:
            embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _extend(database: str) -> None:
    """Install TimescaleDB where the server has it loaded."""
    with psycopg.connect(database, autocommit=True) as connection:
        loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
        if loaded is not None and "timescaledb" in loaded[0]:
            connection.execute("SET client_min_messages = error")
            connection.execute("CREATE EXTENSION timescaledb")


def _sweep() -> None:
    """Stop the servers of pytest processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("inopsio-test-*-*"):
        owner = folder.name.split("-")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)) and os.access(folder, os.W_OK):
            embedded.stop(folder)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _opened(postgres: str) -> Iterator[Database]:
    """Open the database once; its warm connections serve all tests."""
    opened = Database.open(Settings(database_url=Secret(postgres)))
    yield opened
    opened.close()


@pytest.fixture
def database(_opened: Database) -> Iterator[Database]:
    """Lend the database, empty; what the test leaves in it is removed."""
    _opened.days_known.clear()
    yield _opened
    with psycopg.connect(_opened._logins.owner, autocommit=True) as connection:
        connection.execute(_END_OTHERS)
        told = connection.execute(_TOLD).fetchall()
        connection.execute(_EMPTY)
    if told:
        # Not before it is needed: it loads every business module.
        assert importlib.import_module("tests.published").faults_of(told) == []


@pytest.fixture
def settings(postgres: str, database: Database, tmp_path: Path) -> Settings:
    """Give settings that lead to `database`, with a data folder of the test's own.

    `INOPSIO_DATABASE_URL=settings.database_url.reveal()` takes a child process there.
    """
    return Settings(data_dir=tmp_path, database_url=Secret(postgres))


@pytest.fixture
def two_tenants(database: Database) -> tuple[Scope, Scope]:
    """Make tenants `acme` and `bolt`; give a scope with all grants in each."""
    made = []
    for tenant in ("acme", "bolt"):
        database.create_tenant(tenant, tenant.title())
        made.append(Scope(tenant, Actor("user", "ann"), frozenset({Role.OPERATOR, Role.ADMIN})))
    return made[0], made[1]
