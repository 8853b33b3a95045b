"""A door that answers as told: the house itself is tried in test_demo.py."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.demo import books
from deploy.demo.feeding import Feeder
from deploy.demo.rows import Row
from storage.errors import Unavailable

HAND = books.Hand("ann.lee", "d-1", "10.20.1.10")
Answer = tuple[int, dict[str, Any]]
Seen = list[tuple[str, bytes]]


@contextmanager
def door(answer: Callable[[str, int], Answer]) -> Iterator[tuple[str, Seen]]:
    """Serve `answer(path, how often it was asked)`; give the address and what was asked."""
    seen: Seen = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            before = sum(path == self.path for path, _ in seen)
            seen.append((self.path, body))
            status, told = answer(self.path, before)
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    running = threading.Thread(target=server.serve_forever)
    running.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        running.join()
        server.server_close()


@contextmanager
def feeding(url: str, **positions: int) -> Iterator[Feeder]:
    feeder = Feeder(url, "t", threading.Event(), positions)
    try:
        yield feeder
    finally:
        feeder.close()


def test_lines_go_by_position_and_are_sent_again_when_the_house_is_busy() -> None:
    with (
        door(lambda _, before: (202 if before else 429, {})) as (url, seen),
        feeding(url, wec=7) as feeder,
    ):
        feeder.send([Row(1, "wec", b"{}"), Row(2, "wec", b"{}")])
        assert feeder.positions == {"wec": 9}
    assert [path.partition("position=")[2] for path, _ in seen] == ["7", "7"]
    assert {body for _, body in seen} == {b"{}\n{}\n"}


def test_a_payment_that_is_being_screened_is_paid_later() -> None:
    def answer(_: str, before: int) -> Answer:
        wait = {"detail": "payment P is being screened; try again in 0 s"}
        return (200, {"version": 3}) if before else (409, wait)

    with door(answer) as (url, seen), feeding(url) as feeder:
        feeder.send([books.payment_paid(1, HAND, "P")])
        feeder.settle()
        assert (feeder.fed.commands, len(seen)) == (1, 2)


def test_a_payment_on_hold_is_left_there() -> None:
    with (
        door(lambda *_: (409, {"detail": "payment P is on hold; another must release"})) as (
            url,
            _,
        ),
        feeding(url) as feeder,
    ):
        feeder.send([books.payment_paid(1, HAND, "P")])
        assert (feeder.fed.held, feeder.fed.refused) == ({"P"}, {})


def test_a_command_says_who_acted_and_when() -> None:
    with door(lambda *_: (201, {})) as (url, seen), feeding(url) as feeder:
        feeder.send([books.bank_changed(1_780_272_000_000_000, HAND, "V-1", "DE00")])
    path, body = seen[0]
    assert path == "/v1/vendors/V-1/bank-account"
    assert json.loads(body) == {
        "bank_account": "DE00",
        "on_behalf_of": "ann.lee",
        "occurred_at": "2026-06-01T00:00:00.000000Z",
        "device_uid": "d-1",
        "src_ip": "10.20.1.10",
    }


def test_what_the_house_does_not_take_ends_the_feeding() -> None:
    with (
        door(lambda *_: (422, {"detail": "the body is empty"})) as (url, _),
        feeding(url) as feeder,
        pytest.raises(Unavailable, match="422"),
    ):
        feeder.send([Row(1, "wec", b"{}")])
