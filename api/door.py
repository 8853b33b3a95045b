"""Stand before every route: trace id, size limit, origin check, security headers, the last line."""

import asyncio
import secrets
import time
import traceback
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem
from storage import telemetry

_LOG: Final = structlog.get_logger("api")
LARGEST_BODY: Final = 1 << 20
"""Of any request but ingest, bytes."""
BODY_PAUSE_S: Final = 20.0
"""Longest wait for the next piece of a body."""
BODY_S: Final = 300.0
"""Longest a whole body may take: it holds room that others wait for."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ALWAYS: Final = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not `no-referrer`: with it a browser sends `Origin: null` on our own forms.
    ("referrer-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


def page_policy(script_hashes: Sequence[str] = ()) -> str:
    """Give the Content-Security-Policy of pages; scripts are ours or have one of the hashes.

    Styles stay open to inline ones: the component libraries set style attributes.
    """
    scripts = " ".join(["'self'", *(f"'{h.strip(chr(39))}'" for h in script_hashes)])
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def is_own_origin(headers: Headers) -> bool:
    """Answer whether a write comes from our own pages, or from no browser at all."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
    try:
        return bool(origin) and urlsplit(origin).netloc == headers.get("host", "")
    except ValueError:
        return False


class Door:
    """Wrap the application; `script_hashes` is read at each page, so pages may add theirs later."""

    def __init__(
        self, app: ASGIApp, ingest_path: str, ingest_bytes: int, script_hashes: list[str]
    ) -> None:
        """Keep the limits."""
        self._app = app
        self._ingest_path = ingest_path
        self._ingest_bytes = ingest_bytes
        self._script_hashes = script_hashes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if headers.get("origin") is None or not is_own_origin(headers):
            await send({"type": "websocket.close", "code": 1008, "reason": "foreign origin"})
            return
        scope.setdefault("state", {})["trace_id"] = secrets.token_hex(16)
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace_id = scope.setdefault("state", {})["trace_id"] = secrets.token_hex(16)
        headers = Headers(scope=scope)
        answer = _Answer(send, scope, trace_id, self._script_hashes)
        began = time.perf_counter()
        try:
            if scope["method"] not in SAFE_METHODS and not is_own_origin(headers):
                await problem(403, "the request comes from another site", trace_id)(
                    scope, receive, answer.send
                )
                return
            limit = self._ingest_bytes if scope["path"] == self._ingest_path else LARGEST_BODY
            if _claims_more(headers, limit):
                too_large = problem(413, f"the body is over {limit} bytes", trace_id)
                await too_large(scope, receive, answer.send)
                return
            await self._app(scope, _limited(receive, limit), answer.send)
        except Exception:  # noqa: BLE001  the API's last line: nothing inner may reach the caller
            # As text: a log renderer that shows local variables would show passwords.
            trace = traceback.format_exc(limit=-8)
            _LOG.error("request_crashed", trace_id=trace_id, path=scope["path"][:200], trace=trace)
            if not answer.is_begun:
                await problem(500, "", trace_id)(scope, receive, answer.send)
        finally:
            answer.count(began)


def _claims_more(headers: Headers, limit: int) -> bool:
    claimed = headers.get("content-length", "0")
    return not claimed.isascii() or not claimed.isdigit() or int(claimed[:20]) > limit


def _limited(receive: Receive, limit: int) -> Receive:
    """Give the body's pieces until they are too many or come too slowly."""
    seen = 0
    is_whole = False
    end: float | None = None

    async def counted() -> Message:
        nonlocal seen, is_whole, end
        if is_whole:  # what is waited for now is the caller's leaving
            return await receive()
        now = asyncio.get_running_loop().time()
        end = now + BODY_S if end is None else end
        try:
            async with asyncio.timeout(min(BODY_PAUSE_S, end - now)):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, headers={"Connection": "close"}) from None
        is_whole = not message.get("more_body", False)
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413)
        return message

    return counted


class _Answer:
    """Put the headers on the answer's start and remember what it was."""

    def __init__(self, send: Send, scope: Scope, trace_id: str, script_hashes: list[str]) -> None:
        self._send = send
        self._scope = scope
        self._trace_id = trace_id
        self._script_hashes = script_hashes
        self._status = 500
        self.is_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_begun = True
            self._status = message["status"]
            self._dress(MutableHeaders(scope=message))
        await self._send(message)

    def _dress(self, headers: MutableHeaders) -> None:
        for name, value in _ALWAYS:
            headers[name] = value
        is_page = headers.get("content-type", "").startswith("text/html")
        policy = page_policy(self._script_hashes) if is_page else _DATA_POLICY
        headers["content-security-policy"] = policy
        headers["x-trace-id"] = self._trace_id
        headers.setdefault("cache-control", "no-store")
        if self._scope["scheme"] == "https":
            headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"

    def count(self, began: float) -> None:
        telemetry.count("inopsio_requests_total")
        if self._status >= 500:
            telemetry.count("inopsio_requests_failed_total")
        _LOG.debug(
            "request_answered",
            trace_id=self._trace_id,
            method=self._scope["method"],
            path=self._scope["path"][:200],
            status=self._status,
            took_ms=round((time.perf_counter() - began) * 1000, 1),
        )
