"""Push what is new to open pages: one websocket a page, a few small messages a second at most.

A commit of the pipelines tells `NOTIFY inopsio_live`; one thread of this process listens and wakes
that tenant's pages. What they get is read in the scope of their own session, which is checked at
connect and every few seconds. A page only listens: whoever sends is closed.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from api.auth import session_scope
from api.door import is_own_origin
from dashboards.console import Console
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InopsioError
from storage.tenant import Scope

_LOG: Final = structlog.get_logger("live")
PATH: Final = "/_live"
MOST_OF_A_TENANT: Final = 50
MOST_OF_ALL: Final = 400
EVERY_S: Final = 0.25
"""Least time between two messages to one page."""
CHECK_S: Final = 2.0
"""Who signs out or is shut out hears nothing a few seconds later."""
QUIET_S: Final = 5.0
"""Without news a page hears this often that it is still connected."""
MOST_FINDINGS: Final = 50
_QUERY_MS: Final = "2000"
_POLICY, _BUSY = 1008, 1013


@dataclass(slots=True)
class Bell:
    """Wake the pages of a tenant; made once for each process that serves pages."""

    database: Database
    waiting: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)
    listener: threading.Thread | None = None
    counted: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def seat(self, tenant: str) -> Iterator[asyncio.Event | None]:
        """Lend a page its place, or None when its tenant or the house has too many."""
        news = asyncio.Event()
        with self.guard:
            is_full = self.counted[tenant] >= MOST_OF_A_TENANT
            if is_full or self.counted.total() >= MOST_OF_ALL:
                taken = False
            else:
                taken = True
                self.counted[tenant] += 1
                self.waiting.setdefault(tenant, set()).add(news)
        try:
            if taken:
                self._listen(asyncio.get_running_loop())
            yield news if taken else None
        finally:
            if taken:
                self._leave(tenant, news)

    def _leave(self, tenant: str, news: asyncio.Event) -> None:
        with self.guard:
            self.counted[tenant] -= 1
            self.counted += Counter()  # forgets tenants that nobody looks at
            self.waiting[tenant].discard(news)
            if not self.waiting[tenant]:
                del self.waiting[tenant]

    def ring(self, tenant: str) -> None:
        """Wake the pages of one tenant; called in the loop that serves them."""
        with self.guard:
            woken = list(self.waiting.get(tenant, ()))
        for news in woken:
            news.set()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        with self.guard:
            if self.listener is None or not self.listener.is_alive():
                self.listener = threading.Thread(
                    target=self._hear, args=(loop,), name="live", daemon=True
                )
                self.listener.start()

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen while anybody is there; a database that is away is asked again each 2 s."""
        while self._is_wanted() and not loop.is_closed():
            try:
                with self.database.listening() as connection:
                    execute(connection, "live_listen")
                    while self._is_wanted() and not loop.is_closed():
                        for note in connection.notifies(timeout=1.0):
                            loop.call_soon_threadsafe(self.ring, note.payload)
            except InopsioError as error:
                _LOG.warning("live_listening_stopped", reason=str(error)[:200])
                time.sleep(2.0)
            except RuntimeError:
                return  # the loop ended while we spoke to it

    def _is_wanted(self) -> bool:
        with self.guard:
            return bool(self.waiting)


def register(app: FastAPI, console: Console) -> Bell:
    """Add the websocket to the application."""
    bell = Bell(console.database)

    async def feed(socket: WebSocket) -> None:
        """Serve one page until it leaves, its session ends, or it speaks."""
        scope = await asyncio.to_thread(_scope_of, socket, console)
        if scope is None or not is_own_origin(socket.headers):
            await socket.close(_POLICY)
            return
        with bell.seat(scope.tenant_id) as news:
            if news is None:
                await socket.close(_BUSY)
                return
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await _serve(socket, console, scope, news)

    app.add_api_websocket_route(PATH, feed)
    return bell


async def _serve(socket: WebSocket, console: Console, scope: Scope, news: asyncio.Event) -> None:
    gone = asyncio.create_task(socket.receive())
    checked = time.monotonic()
    news.set()
    try:
        while not gone.done():
            waiting = asyncio.create_task(news.wait())
            await asyncio.wait({gone, waiting}, timeout=QUIET_S, return_when="FIRST_COMPLETED")
            waiting.cancel()
            if gone.done():
                break
            if time.monotonic() - checked > CHECK_S:
                checked = time.monotonic()
                again = await asyncio.to_thread(_scope_of, socket, console)
                if again != scope:
                    break
            news.clear()
            try:
                told = await asyncio.to_thread(snapshot, console.database, scope, console.now())
            except InopsioError:
                told = {"at": console.now().isoformat(), "away": True}
            await socket.send_json(told)
            await asyncio.sleep(EVERY_S)
    finally:
        gone.cancel()
        with contextlib.suppress(RuntimeError):
            await socket.close(_POLICY)


def _scope_of(socket: WebSocket, console: Console) -> Scope | None:
    try:
        return session_scope(
            socket.cookies,
            console.database,
            idle_s=console.settings.session_idle_s,
            is_secure=socket.url.scheme == "wss",
            now_us=console.now_us(),
        )
    except InopsioError:
        return None


def snapshot(database: Database, scope: Scope, now: datetime) -> dict[str, Any]:
    """Give what pages hear: rate of the last full 10 s, newest event, newest findings' ids.

    Without the grants `events:read` and `findings:read` those parts are left out.
    """
    told: dict[str, Any] = {"at": now.astimezone(UTC).isoformat()}
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=_QUERY_MS)
        if scope.may("events:read"):
            rows = select(tx, "live_arrivals", since=now - timedelta(seconds=70))
            told |= _arrivals(rows, now)
        if scope.may("findings:read"):
            found = select(tx, "live_newest_findings", limit=MOST_FINDINGS)
            told["findings"] = [
                {"id": r["finding_id"], "level": r["level"], "at": _iso(r["created_at"])}
                for r in found
            ]
    return told


def _arrivals(rows: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Say the events of the last minute, of the last full 10 s a second, and the newest's time."""
    full = [r for r in rows if r["bucket"] <= now - timedelta(seconds=10)]
    last = full[-1] if full and full[-1]["bucket"] > now - timedelta(seconds=20) else None
    newest = max((r["newest"] for r in rows), default=None)
    return {
        "per_s": round(last["events"] / 10, 1) if last else 0,
        "minute": sum(r["events"] for r in rows),
        "newest": _iso(newest),
    }


def _iso(value: object) -> str | None:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else None
