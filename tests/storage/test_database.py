"""The database opens, keeps its roles apart and names its errors."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from storage.database import Database, embedded
from storage.errors import InvalidInput, Unavailable
from storage.settings import Secret, Settings
from storage.tenant import Scope


def test_tenants_are_made_once_and_listed(database: Database) -> None:
    assert database.create_tenant("acme") is True
    assert database.create_tenant("acme") is False
    assert database.tenants() == ["acme"]


def test_a_bad_tenant_id_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="not valid"):
        database.create_tenant("../acme")


def test_what_a_borrower_sets_does_not_reach_the_next(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, _ = two_tenants
    with database.app(acme) as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', false)")
        tx.execute("SET statement_timeout = 0")
        first = tx.info.backend_pid
    pool = database._pool("app", "")
    with ExitStack() as held:
        # The pool may hold others as well: take on until the one that was lent comes back.
        for _ in range(pool.max_size):
            raw = held.enter_context(pool.connection())
            if raw.info.backend_pid == first:
                break
        assert raw.info.backend_pid == first
        assert raw.execute("SELECT count(*) FROM tenants").fetchone() == (0,)
        assert raw.execute("SHOW statement_timeout").fetchone() == ("1min",)


def test_a_wrong_row_and_a_dead_server_are_told_apart(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, _ = two_tenants
    with pytest.raises(InvalidInput), database.app(acme) as tx:
        tx.execute("SELECT 'x'::uuid")
    slow = b"SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)"
    with pytest.raises(Unavailable, match="too long"), database.app(acme) as tx:
        tx.execute(slow)
    standby = b"SET LOCAL transaction_read_only = on; DELETE FROM inbox"
    with pytest.raises(Unavailable, match="read-only"), database.app(acme) as tx:
        tx.execute(standby)
    away = Settings(database_url=Secret("postgresql://u:p@127.0.0.1:1/none"))
    with pytest.raises(Unavailable):
        Database.open(away)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Lend a folder outside pytest's own: as root, that is closed to the server's user."""
    with tempfile.TemporaryDirectory(prefix="inopsio-embedded-") as name:
        yield Path(name)


def test_the_embedded_server_survives_a_kill_and_is_shared(folder: Path) -> None:
    settings = Settings(data_dir=folder / ("long" * 30))
    database = Database.open(settings)
    try:
        database.create_tenant("acme")
        pid_file = settings.data_dir / "postgres" / "postmaster.pid"
        assert (settings.data_dir / "keys" / "postgres-admin").stat().st_mode & 0o777 == 0o600
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        assert not server.net_connections("tcp")
        server.kill()  # its children notice and go by themselves
        database.close()
        database = Database.open(settings)
        assert database.tenants() == ["acme"]
        # Another process attaches to the running server.
        code = (
            "from storage.database import Database; from storage.settings import Settings;"
            "db = Database.open(Settings.read()); print(db.tenants()); db.close()"
        )
        child = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"INOPSIO_DATA_DIR": str(settings.data_dir)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert child.stdout.strip() == "['acme']"
    finally:
        database.stop()
    assert not embedded.is_running(settings.data_dir)


def test_a_server_that_dies_while_one_waits_for_its_answer_is_started_anew(folder: Path) -> None:
    database = Database.open(Settings(data_dir=folder))
    try:
        database.close()
        pid_file = folder / "postgres" / "postmaster.pid"
        server = psutil.Process(int(pid_file.read_text().split()[0]))
        server.suspend()  # alive to whoever looks, answering nobody
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(Database.open, Settings(data_dir=folder))
            time.sleep(0.5)
            server.kill()
            database = waiting.result(60)
        assert database.tenants() == []
    finally:
        database.stop()
