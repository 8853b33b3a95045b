"""Lend every test a real PostgreSQL: one server a pytest process, one fresh database a test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.database import Database, embedded
from storage.settings import Secret, Settings
from storage.tenant import Actor, Role, Scope

_QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the conninfo of an owner login on a server that holds a migrated `template`.

    INOPSIO_TEST_DATABASE_URL names a server to use instead of a started one.
    """
    folder = Path(tempfile.mkdtemp(prefix="inopsio-test-"))
    given = os.environ.get("INOPSIO_TEST_DATABASE_URL")
    try:
        admin = given or embedded.start(folder, _QUICK)
        template = f"template_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {template}".encode())
        Database.open(_settings(folder, make_conninfo(admin, dbname=template))).close()
        yield make_conninfo(admin, application_name=template)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {template}".encode())
    finally:
        if not given:
            embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _settings(data_dir: Path, url: str) -> Settings:
    return Settings(data_dir=data_dir, database_url=Secret(url))


@pytest.fixture
def settings(postgres: str, tmp_path: Path) -> Iterator[Settings]:
    """Give settings with a data folder and a migrated, empty database of the test's own.

    `INOPSIO_DATABASE_URL=settings.database_url.reveal()` takes a child process there.
    """
    with psycopg.connect(postgres, autocommit=True) as connection:
        name = f"test_{uuid.uuid4().hex[:12]}"
        template = connection.info.get_parameters()["application_name"]
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield _settings(tmp_path, make_conninfo(postgres, dbname=name))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Open the test's own database."""
    opened = Database.open(settings)
    yield opened
    opened.close()


@pytest.fixture
def two_tenants(database: Database) -> tuple[Scope, Scope]:
    """Make tenants `acme` and `bolt`; give an operator's scope in each."""
    made = []
    for tenant in ("acme", "bolt"):
        database.create_tenant(tenant, tenant.title())
        made.append(Scope(tenant, Actor("user", "ann"), frozenset({Role.OPERATOR, Role.ADMIN})))
    return made[0], made[1]
