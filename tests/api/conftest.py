"""Lend API tests a whole front door: real PostgreSQL, a log in memory, two tenants."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.auth import create_token, create_user
from storage.database import Database
from storage.log.memory import MemoryLog
from storage.settings import Settings
from storage.tenant import Role, Scope

START_US = 1_795_000_000_000_000


@dataclass(slots=True)
class Clock:
    """Tell the time that the test sets."""

    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000


class Wire(httpx.BaseTransport):
    """Carry a plain client's requests into the application, one event loop each."""

    def __init__(self, app: FastAPI, address: str) -> None:
        self._inner = httpx.ASGITransport(app=app, client=(address, 50_000))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._carry(request))

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        sent = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )
        answer = await self._inner.handle_async_request(sent)
        body = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=body)


@dataclass(slots=True)
class Front:
    """The front door with what stands behind it."""

    app: FastAPI
    database: Database
    log: MemoryLog
    clock: Clock
    acme: Scope
    bolt: Scope

    def browser(self, address: str = "198.51.100.7", url: str = "http://house") -> httpx.Client:
        """Give a client without any credentials."""
        return httpx.Client(transport=Wire(self.app, address), base_url=url)

    def bearer(self, scope: Scope, *roles: Role, uses: int | None = None) -> httpx.Client:
        """Give a client with a token of these roles in the scope's tenant."""
        text = create_token(self.database, scope, "test", roles, 86_400 * 300, uses)
        client = self.browser()
        client.headers["Authorization"] = f"Bearer {text}"
        return client

    def person(self, scope: Scope, name: str, *roles: Role) -> httpx.Client:
        """Make an account and give a signed-in browser with its CSRF token set."""
        password = create_user(self.database, scope, name, None, roles)
        client = self.browser()
        who = {"tenant": scope.tenant_id, "name": name, "password": password}
        answer = client.post("/v1/session", json=who)
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client


@pytest.fixture
def front(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> Iterator[Front]:
    """Give the front door of a house with the tenants acme and bolt."""
    log, clock = MemoryLog(partitions=2), Clock()
    app = create_app(settings, database, log, None, clock)
    yield Front(app, database, log, clock, *two_tenants)
    log.close()


@pytest.fixture
def sender(front: Front) -> httpx.Client:
    """Give a client that may send events into acme."""
    return front.bearer(front.acme, Role.INGEST)
