"""Fetch from servers that are slow, large, sly or nosy; each attack ends in words, in time."""

import gzip
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pipelines.intel.fetch import Auth, Fetcher
from pipelines.intel.reach import networks
from storage.errors import InvalidInput, Unavailable
from storage.settings import Secret
from tests.pipelines.feed_server import FeedServer, feed_server, tls_of

SECRET = "s3cr3t-canary"
HERE = networks("127.0.0.1")


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with feed_server() as made:
        yield made


def fetcher(server: FeedServer, **told: Any) -> Fetcher:  # noqa: ANN401  Fetcher's own fields
    auth = Auth("bearer", Secret(SECRET))
    usual: dict[str, Any] = {"home": server.url(), "auth": auth, "named": HERE, "total_s": 5.0}
    return Fetcher(**usual | told)


def said(server: FeedServer, path: str = "/", **told: Any) -> str:  # noqa: ANN401  Fetcher's own fields
    """Give the words in which it fails; the secret is in none of them."""
    with pytest.raises((InvalidInput, Unavailable)) as wrong:
        fetcher(server, **told).get(server.url(path), "*/*")
    words = ""
    at: BaseException | None = wrong.value
    while at is not None:
        words, at = f"{words} {type(at).__name__} {at}", at.__cause__
    assert SECRET not in words
    return words


def test_an_answer_comes_whole_packed_or_not(server: FeedServer) -> None:
    server.put("/plain", b"list", ETag="x")
    server.put("/packed", gzip.compress(b"list" * 9), Content_Encoding="gzip")
    answer = fetcher(server).get(server.url("/plain?a=1"), "text/csv", {"If-None-Match": "w"})
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"list", "x")
    assert fetcher(server).get(server.url("/packed"), "*/*").body == b"list" * 9
    seen = server.seen[0]
    assert (seen.path, seen.headers["accept"]) == ("/plain?a=1", "text/csv")
    assert seen.headers["if-none-match"] == "w"
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"


def test_secrets_are_sent_as_asked(server: FeedServer) -> None:
    server.put("/", b"")
    for auth, header in (
        (Auth("basic", Secret("ann:pw")), "Basic YW5uOnB3"),
        (Auth("key", Secret("abc")), "abc"),
        (Auth(), None),
    ):
        fetcher(server, auth=auth).get(server.url(), "*/*")
        assert server.seen[-1].headers.get("authorization") == header
    assert SECRET not in repr(fetcher(server))


def test_loopback_is_not_reached_unless_named(server: FeedServer) -> None:
    server.put("/", b"inside")
    assert "this machine itself" in said(server, named=())
    assert server.seen == []


def test_the_address_that_was_checked_is_the_one_connected_to(server: FeedServer) -> None:
    """A name that leads elsewhere at the second look (DNS rebinding) is looked up once."""
    server.put("/", b"list")
    looks: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        looks.append(host)
        return ["127.0.0.1"] if len(looks) == 1 else ["127.0.0.2"]

    url = f"http://rebind.example:{server.port}/"
    answer = fetcher(server, resolve=rebinding, home=url).get(url, "*/*")
    assert (answer.body, looks) == (b"list", ["rebind.example"])
    assert server.seen[0].headers["host"] == f"rebind.example:{server.port}"
    with pytest.raises(InvalidInput, match="this machine itself"):
        fetcher(server, resolve=rebinding).get(url, "*/*")


def test_a_redirect_is_checked_like_the_first_url(server: FeedServer) -> None:
    for number, to in enumerate(
        (
            "http://127.0.0.2:1/",
            "http://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "http://[::ffff:127.0.0.2]/",
            "//127.0.0.2/",
            "http://[",
            f"http://{SECRET}.invalid/",
            "https://x:y@127.0.0.1/",
        )
    ):
        server.put(f"/{number}", b"", 302, Location=to)
        said(server, f"/{number}")
    assert len(server.seen) == 8


def test_three_redirects_are_followed_and_no_more(server: FeedServer) -> None:
    for number in range(5):
        server.put(f"/{number}", b"", 307, Location=f"/{number + 1}")
    server.put("/5", b"list")
    assert fetcher(server).get(server.url("/2"), "*/*").body == b"list"
    assert "more than 3 times" in said(server, "/1")
    server.put("/loop", b"", 302)
    assert "more than 3 times" in said(server, "/loop")


def test_a_secret_goes_to_its_own_server_only(server: FeedServer) -> None:
    with feed_server() as other:
        server.put("/", b"", 302, Location=other.url("/"))
        other.put("/", b"list")
        assert fetcher(server).get(server.url(), "*/*").body == b"list"
        assert "authorization" not in other.seen[0].headers
        other.put("/", b"", 401)
        assert "wants a secret, but yours is for another" in said(server)
    assert "authorization" in server.seen[0].headers


def test_too_large_an_answer_is_not_read(server: FeedServer) -> None:
    server.put("/told", b"x" * 2000)
    server.put("/lied", b"x" * 2000, Content_Length="99999999999")

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65_536)

    server.does("/endless", endless)
    for path in ("/told", "/lied", "/endless"):
        assert "over 1,000 bytes" in said(server, path, max_bytes=1000)


def test_a_gzip_bomb_is_stopped_long_before_it_is_unpacked(server: FeedServer) -> None:
    pack = zlib.compressobj(9, wbits=31)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(300)) + pack.flush()
    assert len(bomb) < 400_000
    server.put("/", bomb, Content_Encoding="gzip")
    begun = time.monotonic()
    assert "gzip bomb" in said(server)
    assert time.monotonic() - begun < 2
    server.put("/", gzip.compress(bytes(3 << 20)), Content_Encoding="gzip")
    assert "over 1,000 bytes" in said(server, max_bytes=1000)


@pytest.mark.parametrize(
    ("body", "packing", "why"),
    [
        (b"no gzip", "gzip", "broken gzip"),
        (gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), "gzip", "more than one gzip"),
        (gzip.compress(b"list" * 99, mtime=0)[:-9], "gzip", "broke off"),
        (b"list", "br", "nobody asked for"),
        (zlib.compress(b"a"), "deflate", "nobody asked for"),
    ],
)
def test_broken_packing_is_said(server: FeedServer, body: bytes, packing: str, why: str) -> None:
    server.put("/", body, Content_Encoding=packing)
    assert why in said(server)


def test_an_answer_that_breaks_off_is_no_answer(server: FeedServer) -> None:
    server.put("/", b"half", Content_Length="8")
    assert "Unavailable" in said(server)


def drip(handler: BaseHTTPRequestHandler, head: bytes) -> None:
    handler.wfile.write(head)
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b""])
def test_one_byte_after_the_other_does_not_hold_us(server: FeedServer, head: bytes) -> None:
    server.does("/", lambda handler: drip(handler, head))
    begun = time.monotonic()
    assert "too slow" in said(server, total_s=0.6)
    assert time.monotonic() - begun < 2


def test_a_server_that_says_nothing_does_not_hold_us() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = FeedServer(silent.getsockname()[1])
        begun = time.monotonic()
        for scheme in ("http", "https"):
            with pytest.raises(Unavailable, match="too slow"):
                fetcher(server, total_s=0.4).get(server.url("/", scheme), "*/*")
        assert time.monotonic() - begun < 3


def _send(words: bytes, handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(words)


def test_what_is_no_http_is_said(server: FeedServer) -> None:
    def reset(handler: BaseHTTPRequestHandler) -> None:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()

    server.does("/reset", reset)
    sent = {
        "/garbage": b"\x00\xff" * 99,
        "/heads": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 999,
        "/line": b"HTTP/1.1 200 " + b"a" * 99_999,
    }
    for path, words in sent.items():
        server.does(path, partial(_send, words))
    for path in ("/reset", "/garbage", "/heads", "/line"):
        assert "does not answer as it should" in said(server, path)
    server.port = 1
    assert "does not answer as it should" in said(server)


@pytest.mark.parametrize(
    ("status", "kind", "why"),
    [
        (401, "InvalidInput", "refuses the secret"),
        (403, "InvalidInput", "refuses the secret"),
        (404, "InvalidInput", "nothing there"),
        (406, "InvalidInput", "answers 406"),
        (429, "Unavailable", "busy or broken"),
        (503, "Unavailable", "busy or broken"),
    ],
)
def test_a_status_becomes_words_that_say_what_to_do(
    server: FeedServer, status: int, kind: str, why: str
) -> None:
    server.put("/", SECRET.encode(), status, X_Echo=SECRET)
    words = said(server)
    assert why in words
    assert kind in words


def test_tls_is_checked_against_the_name_that_was_asked(tmp_path: Path) -> None:
    mine, trust = tls_of(tmp_path, "feeds.example")
    with feed_server(mine) as server:
        server.put("/", b"list")

        def at(name: str, tls: object = trust) -> bytes:
            url = f"https://{name}:{server.port}/"
            how = fetcher(server, tls=tls, home=url, resolve=lambda _h, _p: ["127.0.0.1"])
            return how.get(url, "*/*").body

        assert at("feeds.example") == b"list"
        with pytest.raises(InvalidInput, match="certificate that is not trusted"):
            at("other.example")
        with pytest.raises(InvalidInput, match="certificate that is not trusted"):
            at("feeds.example", None)
    assert len(server.seen) == 1
