"""Keep the pages behind the sign-in: whatever is not the API asks for a session first."""

from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.sessions import find_session, session_key
from api.desk import Desk
from api.problems import problem
from storage.errors import Unavailable
from storage.tenant import Scope as HouseScope

API: Final = "/v1/"
"""Routes below ask for a Scope themselves; the application does not start if one does not."""
OPEN_PATHS: Final = frozenset({"/sign-in", "/sign-in/once", "/_favicon.ico"})
OPEN_FOLDERS: Final = ("/_dash-component-suites/", "/assets/")
"""Program files that are the same for everybody; never put a tenant's data there."""


class Guard:
    """Let signed-in people through to the pages, with `state.scope` set; send others to sign in."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        """Keep the desk."""
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass, redirect (a page) or refuse (anything else)."""
        kind, path = scope["type"], scope.get("path", "")
        is_open = path.startswith((API, *OPEN_FOLDERS)) or path in OPEN_PATHS
        if kind not in {"http", "websocket"} or (is_open and kind == "http"):
            await self._app(scope, receive, send)
            return
        trace_id = str(scope.get("state", {}).get("trace_id", ""))
        try:
            found = await run_in_threadpool(self._find, HTTPConnection(scope))
        except Unavailable:
            await problem(503, "", trace_id)(scope, receive, send)
            return
        if found is not None:
            scope.setdefault("state", {})["scope"] = found
            await self._app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "not signed in"})
        else:
            await self._answer(scope, trace_id)(scope, receive, send)

    def _find(self, connection: HTTPConnection) -> HouseScope | None:
        key = session_key(connection.cookies, connection.url.scheme in {"https", "wss"})
        if key is None:
            return None
        idle_s = self._desk.settings.session_idle_s
        found = find_session(self._desk.database, key, idle_s, self._desk.now_us())
        return found.scope if found else None

    def _answer(self, scope: Scope, trace_id: str) -> Response:
        if scope["method"] not in {"GET", "HEAD"} or scope["path"].startswith("/_"):
            return problem(401, "sign in first", trace_id)
        return RedirectResponse(f"/sign-in?next={quote(scope['path'], safe='/')}", 303)
