"""Set up a house on the Kafka and TimescaleDB of `make services`, for one measurement."""

import contextlib
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks._ecs import TENANTS
from pipelines.dead_letter import RAW_TOPIC
from storage.database import Database
from storage.database.commit import flow_position
from storage.log import EventLog, Record
from storage.log.open import open_log
from storage.settings import Secret, Settings, variable

ROOT: Final = Path(__file__).resolve().parent.parent
_LONGEST_S: Final = 900.0
_AT_ONCE_BYTES: Final = 8 << 20


def address_of(service: str) -> str:
    """Give the address of `kafka` or `timescaledb`; SystemExit if it does not run."""
    script = ROOT / "deploy" / "local" / f"{service}.sh"
    if subprocess.run([script, "status"], capture_output=True, check=False).returncode:
        raise SystemExit(f"{service} does not run; start it: make services")
    told = subprocess.run([script, "env"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"=(\S+)$", told.strip())
    if found is None:
        raise SystemExit(f"{service}.sh env told no address")
    return found[1]


@dataclass(frozen=True)
class Site:
    """One house: its settings, and an open database and log to look from outside."""

    settings: Settings
    database: Database
    log: EventLog
    admin: str

    def environment(self) -> Mapping[str, str]:
        """Give the variables for a process of this house."""
        settings = self.settings
        told = {
            "data_dir": str(settings.data_dir), "database_url": settings.database_url.reveal(),
            "log_url": settings.log_url, "kafka_prefix": settings.kafka_prefix,
            "rules_dirs": settings.rules_dirs, "partitions": str(settings.partitions),
        }  # fmt: skip
        return os.environ | {variable(name): value for name, value in told.items()}

    def fill(self, records: Iterable[Record]) -> None:
        """Append all records to the raw topic."""
        todo = iter(records)
        while found := list(islice(todo, 2000)):
            while found:
                part: list[Record] = []
                size = 0
                while found and size < _AT_ONCE_BYTES:
                    part.append(found.pop(0))
                    size += len(part[-1].value)
                self.log.append(RAW_TOPIC, part)

    def ends(self) -> dict[int, int]:
        """Give partition -> end of the raw topic."""
        return {p: self.log.end(RAW_TOPIC, p) for p in range(self.log.partitions(RAW_TOPIC))}

    def read(self) -> int:
        """Give how many messages the first flow has committed."""
        return sum(n for n, _ in flow_position(self.database, "events").values())

    def count(self, table: str) -> int:
        """Count the rows of a table, all tenants."""
        with psycopg.connect(self.settings.database_url.reveal()) as connection:
            row = connection.execute(f"SELECT count(*) FROM inopsio.{table}".encode()).fetchone()
        return int(row[0]) if row else 0

    def server_cpu_s(self) -> float:
        """Give the CPU-seconds that the database's processes have used so far."""
        with psycopg.connect(self.admin) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        file = Path(str(row[0])) / "postmaster.pid" if row else Path()
        server = psutil.Process(int(file.read_text().split()[0]))
        ended = server.cpu_times()
        total = float(ended.children_user + ended.children_system)
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    @contextlib.contextmanager
    def pipelines(
        self, *words: str, program: str = "deploy", **more: str
    ) -> Iterator[tuple[psutil.Process, Callable[[], float]]]:
        """Run the product's process; give it and what tells its CPU-seconds so far.

        `program`: the module that is run instead of the product's own command.
        """
        settings = {variable(name): value for name, value in more.items()}
        child = subprocess.Popen(
            [sys.executable, "-m", program, "run", "pipelines", *words],
            cwd=ROOT,
            env={**self.environment(), **settings},
            stdout=subprocess.DEVNULL,
        )
        process = psutil.Process(child.pid)

        def cpu_s() -> float:
            times = process.cpu_times()
            return float(times.user + times.system)

        try:
            yield process, cpu_s
        finally:
            child.terminate()
            child.wait()

    def wait(self, is_so: Callable[[], bool], *processes: psutil.Process) -> None:
        """Look until it is so; SystemExit if a process ends or it takes too long."""
        until_s = time.monotonic() + _LONGEST_S
        while not is_so():
            if time.monotonic() > until_s or not all(p.is_running() for p in processes):
                raise SystemExit("the pipelines did not get there")
            time.sleep(0.05)


@contextlib.contextmanager
def site(data_dir: Path, rules: Path, partitions: int = 8) -> Iterator[Site]:
    """Make a house on a database and topics of its own; both are gone afterwards."""
    admin, name = address_of("timescaledb"), f"bench_{uuid.uuid4().hex[:10]}"
    data_dir.mkdir(parents=True)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(make_conninfo(admin, dbname=name), autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("CREATE EXTENSION timescaledb")
    settings = Settings(
        data_dir=data_dir,
        database_url=Secret(f"{admin.rpartition('/')[0]}/{name}"),
        log_url=address_of("kafka"),
        kafka_prefix=f"{name}.",
        rules_dirs=str(rules),
        partitions=partitions,
    )
    database, log = Database.open(settings), open_log(settings)
    try:
        for tenant in TENANTS:
            database.create_tenant(tenant)
        yield Site(settings, database, log, admin)
    finally:
        log.close()
        database.close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
