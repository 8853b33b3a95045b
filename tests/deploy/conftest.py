"""Lend the tests a running house: real processes, a free port, a data folder of its own."""

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.cli import run
from deploy.house import opened
from deploy.running import running, settings_for
from storage.settings import Settings
from storage.tenant import system_scope
from tests.shared import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "deploy", *words]


@dataclass(frozen=True)
class Place:
    """A data folder and a port: the house may be up there or not."""

    data: Path
    port: int

    @property
    def settings(self) -> Settings:
        return settings_for(self.data, self.port)

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, as a person would."""
        return subprocess.run(
            command(*words, "--data", str(self.data)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=180,
            check=False,
        )

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.start("up", "--detach", "--port", str(self.port))

    def processes(self) -> list[psutil.Process]:
        """Give the supervisor, its children and the embedded server."""
        house = running(self.settings)
        assert house is not None
        server = int((self.data / "postgres" / "postmaster.pid").read_text().split()[0])
        return [psutil.Process(pid) for pid in (house.pid, *house.children.values(), server)]

    def call(self, *words: str, code: int = 0) -> list[dict[str, object]]:
        """Run a command with --json in this process; give its rows."""
        out = io.TextIOWrapper(io.BytesIO())
        with contextlib.redirect_stdout(out):
            told = run([*words, "--json", "--data", str(self.data)])
        out.seek(0)
        assert told == code, out.read()
        out.seek(0)
        return [json.loads(line) for line in out]

    def ingest(self, tenant: str, *paths: Path, code: int = 0) -> list[dict[str, object]]:
        return self.call("ingest", *map(str, paths), "--tenant", tenant, code=code)

    def events(self, tenant: str) -> tuple[int, int]:
        """Count the tenant's events in the ledger, and how many different ones they are."""
        query = "SELECT count(*), count(DISTINCT event_id) FROM events"
        with opened(self.settings) as house, house.database.app(system_scope(tenant, "test")) as tx:
            row = tx.execute(query.encode()).fetchone()
            assert row is not None
            return row[0], row[1]

    def read(self, tenant: str, path: str, **query: str) -> list[dict[str, object]]:
        """Ask the front door with a viewer's token of the tenant."""
        [made] = self.call("token", "create", "t", "--tenant", tenant, "--role", "viewer")
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}{path}",
            params=query,
            headers={"Authorization": f"Bearer {made['token']}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert isinstance(items, list)
        return items


def gone(processes: Sequence[psutil.Process], wait_s: float = 60) -> bool:
    """Answer whether all of them end in time.

    psutil's own waiting opens a pidfd, which Linux 6.16 refuses with ENOENT, unforeseen there,
    while a process is being reaped.
    """
    end_s = time.monotonic() + wait_s
    while any(map(_lives, processes)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(is_so: Callable[[], bool], wait_s: float = 90) -> None:
    """Wait for something to be so; fail if it is not in time."""
    end_s = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.1)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Give a place where nothing is up."""
    monkeypatch.delenv("INOPSIO_DATABASE_URL", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="inopsio-house-"))
    yield Place(folder, free_port())
    run(["down", "--data", str(folder)])
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def house() -> Iterator[Place]:
    """Lend one running house to all tests; they make tenants of their own in it."""
    folder = Path(tempfile.mkdtemp(prefix="inopsio-house-"))
    there = Place(folder, free_port())
    started = there.up()
    assert started.returncode == 0, started.stderr
    processes = there.processes()
    yield there
    assert there.start("down").returncode == 0
    assert gone(processes)
    shutil.rmtree(folder, ignore_errors=True)
