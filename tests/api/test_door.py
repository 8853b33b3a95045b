"""The door: headers on every answer, foreign sites outside, nothing inner leaks, odd input."""

import asyncio
import random

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from api import door
from api.door import _limited
from storage.tenant import Role
from tests.api.conftest import Front

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
PATHS = ["/sign-in", "/v1/health/live", "/v1/findings", "/v1/nothing", "/", "/assets/nothing.js"]


@pytest.mark.parametrize(("pause_s", "whole_s"), [(0.01, 60.0), (60.0, 0.01)])
def test_a_body_that_never_comes_is_given_up(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, whole_s: float
) -> None:
    monkeypatch.setattr(door, "BODY_PAUSE_S", pause_s)
    monkeypatch.setattr(door, "BODY_S", whole_s)

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(HTTPException) as refused:
        asyncio.run(_once(_limited(never, 10)))
    assert refused.value.status_code == 408


async def _once(receive: Receive) -> Message:
    return await receive()


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_security_headers(front: Front, path: str) -> None:
    answer = front.browser().get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert len(answer.headers["x-trace-id"]) == 32
    assert "access-control-allow-origin" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def test_no_redirect_leads_to_a_host_the_caller_named(front: Front) -> None:
    answer = front.browser().get("/v1/findings/", headers={"Host": "evil.example"})
    assert answer.status_code == 404


def test_over_https_browsers_are_told_to_stay_there(front: Front) -> None:
    answer = front.browser(url="https://house").get("/sign-in")
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")


def test_scripts_run_only_from_our_own_place_or_by_hash(front: Front) -> None:
    front.app.state.script_hashes.append("'sha256-abc='")
    policy = front.browser().get("/sign-in").headers["content-security-policy"]
    assert "script-src 'self' 'sha256-abc=';" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://house.evil.example"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_write_from_another_site_is_refused(front: Front, headers: dict[str, str]) -> None:
    client = front.person(front.acme, "eve", Role.ADMIN)
    answer = client.post("/v1/users", json={"name": "x", "roles": ["viewer"]}, headers=headers)
    assert answer.status_code == 403
    assert client.post("/_dash-update-component", json={}, headers=headers).status_code == 403
    assert client.get("/v1/users", headers=headers).status_code == 200


def test_a_write_from_our_own_pages_is_let_in(front: Front) -> None:
    client = front.person(front.acme, "eve", Role.ADMIN)
    ours = {"origin": "http://house", "sec-fetch-site": "same-origin"}
    answer = client.post("/v1/users", json={"name": "x", "roles": ["viewer"]}, headers=ours)
    assert answer.status_code == 201


def test_a_crash_says_nothing_but_its_trace_id(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(**_: object) -> None:
        password = "canary-secret"
        raise RuntimeError(f"SELECT broke {len(password)}")

    client = front.bearer(front.acme, Role.ANALYST)
    monkeypatch.setattr("api.resources.findings.select", lambda *_, **__: crash())
    answer = client.get("/v1/findings")
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "urn:inopsio:problem:500",
        "title": "Internal error",
        "status": 500,
        "detail": "",
        "trace_id": answer.headers["x-trace-id"],
        "errors": [],
    }
    logged = capsys.readouterr().out
    assert "request_crashed" in logged
    assert "canary-secret\n" not in logged.replace('password = "canary-secret"', "")


def test_a_body_that_grows_beyond_its_claim_is_cut_off(front: Front) -> None:
    text = front.bearer(front.acme, Role.INGEST).headers["authorization"]

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(1 << 20), "more_body": True}

    sent = asyncio.run(_drive(front, "http", receive, [(b"authorization", text.encode())]))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("origin", [b"https://evil.example", b"http://house", None])
def test_a_websocket_without_our_origin_and_a_session_is_closed(
    front: Front, origin: bytes | None
) -> None:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    headers = [(b"origin", origin)] if origin else []
    sent = asyncio.run(_drive(front, "websocket", receive, headers))
    assert [m["type"] for m in sent] == ["websocket.close"]


async def _drive(
    front: Front, kind: str, receive: Receive, headers: list[tuple[bytes, bytes]]
) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http" if kind == "http" else "ws",
        "path": "/v1/ingest" if kind == "http" else "/_dash-ws",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"house"), *headers],
        "client": ("198.51.100.7", 5),
        "server": ("house", 80),
    }
    await front.app(scope, receive, send)
    return sent


ODD = [
    "\x00",
    "\ud800",
    "'",
    "' OR 1=1 --",
    "%",
    "%s%(x)s",
    "_" * 300,
    "a" * 301,
    "\n\r",
    "../../../etc/passwd",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "𝔘𝔫𝔦",
    "\u202e",
    "-1",
    "99999999999999999999999",
    "1e999",
    "NaN",
    "true",
    "null",
    "[]",
    "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "W10",
    "bm90IGpzb24",
    "WzAsIngiXQ",
]
NAMES = {
    "/v1/findings": ["since", "until", "level", "rule_id", "entity", "cursor", "limit"],
    "/v1/incidents": ["status", "level", "assignee", "entity", "cursor", "limit"],
    "/v1/events": ["since", "until", "host", "ip", "text", "class_uid", "cursor", "limit"],
    "/v1/sources": ["after", "limit"],
    "/v1/audit": ["action", "actor", "cursor"],
}


def test_odd_queries_never_make_a_5xx_nor_answer_with_foreign_words(front: Front) -> None:
    client = front.bearer(front.acme, Role.ADMIN)
    for path, names in NAMES.items():
        for n, odd in enumerate(ODD * 2):
            name = names[n % len(names)]
            raw = odd.encode("utf-8", "surrogatepass").hex(" ")
            query = "".join(f"%{h}" for h in raw.split())
            answer = client.get(f"{path}?{name}={query}")
            assert answer.status_code in {200, 422}, (path, name, odd, answer.text)
            assert "psycopg" not in answer.text


def test_odd_bodies_never_make_a_5xx(front: Front) -> None:
    client = front.bearer(front.acme, Role.ADMIN, Role.ANALYST)
    dice = random.Random(7)
    bodies = [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"null", b"1" * 10_000]
    bodies += [b'{"name":"\\ud800","roles":["viewer"]}', b'{"name":"\\u0000","roles":["viewer"]}']
    bodies += [
        b'{"sql":"\\u0000"}',
        b'{"sql":1}',
        b'{"name":"n","roles":["viewer"],"tenant_id":"b"}',
    ]
    bodies += [bytes(dice.randrange(256) for _ in range(dice.randrange(80))) for _ in range(30)]
    for path in ("/v1/users", "/v1/tokens", "/v1/hunts", "/v1/session"):
        for body in bodies:
            headers = {"content-type": "application/json"}
            answer = client.post(path, content=body, headers=headers)
            assert 400 <= answer.status_code < 500, (path, body[:80], answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
