"""Lend the agent a real front door: the application on loopback, with a log and a database."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import uvicorn

from agent.ship import Server
from api.app import create_app
from api.auth import create_token
from pipelines.flow import run_flow
from storage.database import Database
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.settings import Settings
from storage.tenant import Role, Scope

TOPIC = "raw.events"


@dataclass(slots=True)
class Door:
    """The house behind one address."""

    settings: Settings
    database: Database
    log: MemoryLog
    lake: Lake
    acme: Scope
    server: Server

    def stored(self) -> pl.DataFrame:
        """Let the pipelines work off the log; give all events that are stored."""
        run_flow(self.settings, self.database, self.log, self.lake, runner="loop", once=True)
        return self.lake.scan(self.database, self.acme).collect()

    def taken(self) -> dict[str, list[tuple[int, list[bytes]]]]:
        """Give the messages of each source, as they came: (number of the first row, rows)."""
        found: dict[str, list[tuple[int, list[bytes]]]] = {}
        for partition in range(self.log.partitions(TOPIC)):
            offset = 0
            while messages := self.log.read(TOPIC, partition, offset, 1000):
                for message in messages:
                    said = message.headers
                    rows = message.value.splitlines()
                    found.setdefault(said["source"], []).append((int(said["position"]), rows))
                offset = messages[-1].offset + 1
        return found


@contextmanager
def open_door(
    settings: Settings, database: Database, acme: Scope, tmp_path: Path
) -> Iterator[Door]:
    """Serve the API until the end of the block."""
    log, lake = MemoryLog(partitions=2), Lake(tmp_path / "lake")
    app = create_app(settings, database, log, lake)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    token = create_token(database, acme, "agent", [Role.INGEST], 86_400)
    yield Door(settings, database, log, lake, acme, Server(f"http://127.0.0.1:{port}", token))
    server.should_exit = True
    thread.join()
    lake.close()
    log.close()
