"""The database and the broker of a house under test: started, killed, paused, started again.

Both are this run's own (data, ports, processes), so that a kill harms nobody else; the programs are
those that `make services` fetched.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import psutil
import psycopg

from storage.database import embedded
from tests.faults.proxy import Proxy
from tests.services import SCRIPTS, address_of, folder_of

_START_S: Final = 300.0
_TRIES: Final = 10


class Server(Protocol):
    """What can be killed beside the house's own processes."""

    def start(self) -> None:
        """Start it, or start it again after a kill; return when it answers."""

    def pid(self) -> int:
        """Give its process id."""

    def stop(self) -> None:
        """End it in good order."""


class Embedded:
    """The embedded PostgreSQL of a data folder."""

    def __init__(self, data: Path) -> None:
        """Keep the folder."""
        self._data = data

    def start(self) -> None:
        """Start the server as `inopsio up` does."""
        embedded.start(self._data)

    def admin(self) -> str:
        """Give the conninfo of the product's database, as superuser."""
        return psycopg.conninfo.make_conninfo(embedded.start(self._data), dbname=embedded.DATABASE)

    def made(self) -> str:
        """Make the product's database; give its conninfo."""
        with psycopg.connect(embedded.start(self._data), autocommit=True) as tx:
            tx.execute(f"CREATE DATABASE {embedded.DATABASE}".encode())
        return self.admin()

    def pid(self) -> int:
        """Give the postmaster's process id."""
        return int((self._data / "postgres" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """Stop it."""
        embedded.stop(self._data)


class Service:
    """One of the scripts' services in a folder of its own, behind a proxy."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        """Borrow the fetched programs; nothing starts yet."""
        address_of(name)  # skips, or fails in CI, where they were not fetched
        self._name = name
        self._folder = folder / name
        self._script = SCRIPTS / f"{name}.sh"
        self._port = str(port)
        self.proxy = Proxy(port)
        self._environment = os.environ | {
            "INOPSIO_SERVICES_DIR": str(folder),
            "KAFKA_PORT": str(port),
            "KAFKA_HEAP": "320m",
            "KAFKA_ADVERTISED": f"127.0.0.1:{self.proxy.port}",
            "TSDB_PORT": str(port),
        }
        _borrow(folder_of(name), self._folder)
        (self._folder / "port").write_text(f"{port}\n")

    def start(self) -> None:
        """Start it; after a kill its last processes may hinder for a moment."""
        until_s = time.monotonic() + _START_S
        while True:
            done = self._run("start")
            if done.returncode == 0:
                given, got = self._port, (self._folder / "port").read_text().strip()
                assert got == given, f"{self._name}: port {given} was taken meanwhile"
                return
            if time.monotonic() > until_s:
                raise AssertionError(f"{self._name} does not start: {done.stderr[-2000:]}")
            time.sleep(0.5)

    def pid(self) -> int:
        """Give the id of the process that the others hang on."""
        place = "pid" if self._name == "kafka" else "data/postmaster.pid"
        return int((self._folder / place).read_text().split()[0])

    def stop(self) -> None:
        """Stop it and the proxy."""
        self._run("stop")
        self.proxy.close()

    def address(self) -> str:
        """Give the address as the script says it, by the proxy."""
        told = self._run("env").stdout
        found = re.search(r"=(\S+)$", told.strip())
        assert found is not None, told
        return re.sub(r":(\d+)(/|$)", rf":{self.proxy.port}\2", found[1])

    def admin(self) -> str:
        """Give the address without the proxy."""
        told = re.search(r"=(\S+)$", self._run("env").stdout.strip())
        assert told is not None
        return told[1]

    def _run(self, word: str) -> subprocess.CompletedProcess[str]:
        # Into files: what the script leaves running would keep a pipe open.
        out, err = self._folder / f"{word}.out", self._folder / f"{word}.err"
        with out.open("w") as said, err.open("w") as wrong:
            done = subprocess.run(
                [self._script, word],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=wrong,
                check=False,
                timeout=_START_S,
            )
        return subprocess.CompletedProcess(
            done.args, done.returncode, out.read_text(), err.read_text()
        )


def _borrow(fetched: Path, mine: Path) -> None:
    mine.mkdir(parents=True, exist_ok=True)
    for name in ("lib", "root", ".ready-trixie-17", "password", "tls", "admin-password", "ca.pem"):
        there = fetched / name
        if there.exists() and name in {"lib", "root", ".ready-trixie-17"}:
            (mine / name).symlink_to(there.resolve())


def kill(pid: int, wait_s: float = 20) -> None:
    """Kill -9 a process; return when it is gone, with all its threads: they hold its ports."""
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
        process = psutil.Process(pid)
        process.kill()
        until_s = time.monotonic() + wait_s
        while process.status() != psutil.STATUS_ZOMBIE or len(list(_threads(pid))) > 1:
            assert time.monotonic() < until_s, f"{pid} survives kill -9"
            time.sleep(0.01)


def _threads(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def send(pid: int, what: signal.Signals) -> None:
    """Send a signal, to the process's children too: a stopped postmaster alone hinders nobody."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(what)
