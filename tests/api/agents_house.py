"""Lend tests a real agents' listener: TLS on loopback, real agents before it, a settable clock."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.enroll import enroll
from agent.errors import AgentError
from agent.identity import Identity
from api.app import create_app
from api.authority import authority_of
from api.desk import Desk
from api.enrolment import create_enrolment_token
from deploy.agents_listener import Listener
from storage.database import Database
from storage.database.queries import select
from storage.log.memory import MemoryLog
from storage.sealing import Seal
from storage.settings import Settings
from storage.tenant import Role, Scope
from tests.api.conftest import Clock, Front

RUN = "0123456789abcdef"


@dataclass(slots=True)
class House:
    """A front door with its agents' listener."""

    desk: Desk
    log: MemoryLog
    clock: Clock
    acme: Scope
    bolt: Scope
    url: str
    fingerprint: str
    folder: Path

    @property
    def database(self) -> Database:
        return self.desk.database

    def front(self) -> Front:
        """Give the front door of the same house; making it costs a second."""
        app = create_app(self.desk.settings, self.database, self.log, None, self.clock)
        return Front(app, self.database, self.log, self.clock, self.acme, self.bolt)

    def token(self, scope: Scope | None = None, host: str = "ws-1") -> str:
        whose = scope or self.acme
        admin = Scope(whose.tenant_id, whose.actor, frozenset({Role.ADMIN}))
        return create_enrolment_token(self.database, admin, host)

    def machine(self, name: str) -> Path:
        """Give the file that says which machine this is."""
        place = self.folder / f"machine-{name}"
        place.write_text(f"{name}\n")
        return place

    def enroll(self, name: str, token: str = "", folder: str = "") -> Identity:
        """Enrol a host of that name, as its command does."""
        given = token or self.token(host=name)
        where = self.folder / (folder or f"agent-{name}")
        machine = self.machine(name)
        return enroll(where, self.url, given, self.fingerprint, machine, Path("/nonexistent"))

    def trail(self, scope: Scope | None = None) -> list[tuple[str, str, str]]:
        """Give what the tenant's trail says: action, result, reason."""
        with self.database.app(scope or self.acme) as tx:
            rows = tx.execute(
                "SELECT action, result, coalesce(detail->>'reason', '') FROM audit_entries"
                " ORDER BY entry_id"
            ).fetchall()
        return [(str(a), str(r), str(why)) for a, r, why in rows]

    def refused(self, scope: Scope | None = None) -> list[tuple[str, str]]:
        return [(a, why) for a, result, why in self.trail(scope) if result == "refused"]

    def agents(self, scope: Scope | None = None) -> list[dict[str, Any]]:
        with self.database.app(scope or self.acme) as tx:
            return select(tx, "agents_all", limit=1000)


def say(
    identity: Identity, path: str, body: bytes = b"{}", run: str = RUN, **headers: str
) -> tuple[int, str]:
    """Ask the listener as this identity; give the status and what it said."""
    request = urllib.request.Request(
        f"{identity.url}{path}",
        data=body,
        method="POST",
        headers={"Inopsio-Run": run, "Content-Type": "application/json", **headers},
    )
    out = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=identity.context())
    )
    try:
        with out.open(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as no:
        return no.code, str(json.loads(no.read()).get("detail", ""))


def send(identity: Identity, run: str = RUN, source: str = "", **query: str) -> tuple[int, str]:
    """Send one event as this identity."""
    named = source or f"agent:{identity.agent_id}.0:events"
    more = "".join(f"&{name}={value}" for name, value in query.items())
    row = b'{"time":1795000000000,"class_uid":1007,"activity_id":1,"message":"hello"}\n'
    return say(identity, f"/v1/ingest?format=ocsf_json&source={named}{more}", row, run)


@contextmanager
def listening(
    settings: Settings,
    database: Database,
    tenants: tuple[Scope, Scope],
    folder: Path,
    at: socket.socket | None = None,
) -> Iterator[House]:
    """Serve the agents of a house until the end of the test, at a listening socket or loopback."""
    log, clock = MemoryLog(partitions=2), Clock(time.time_ns() // 1000)
    desk = Desk(settings, database, log, None, clock)
    authority = authority_of(database, Seal.of(settings), desk.now())
    with at or socket.create_server(("127.0.0.1", 0)) as ear:
        listener = Listener(desk, authority, ear.getsockname())
        serving = threading.Thread(target=listener.server.run, kwargs={"sockets": [ear]})
        serving.start()
        try:
            while not listener.server.started:
                time.sleep(0.01)
            host, port = ear.getsockname()
            url = f"https://{host}:{port}"
            yield House(desk, log, clock, *tenants, url, authority.fingerprint, folder)
        finally:
            listener.server.should_exit = True
            serving.join()
            log.close()


def why_not(house: House, name: str, **given: str) -> str:
    """Give what an enrolment is refused with, '' if it is not."""
    try:
        house.enroll(name, **given)
    except AgentError as no:
        return str(no)
    return ""
