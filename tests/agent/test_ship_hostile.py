"""Sit in the house's seat with ill will: trickle, never end, say what is no number."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.beat import LEAST_WAIT_S, LONGEST_WAIT_S, Beat, keep_beating
from agent.enroll import enroll
from agent.errors import AgentError, Away
from agent.orders import Orders
from agent.ship import MOST_GROWTH, Sender, Server, _pack
from agent.ship_timed import Until
from agent.spool import Batch, Spool
from api.body import decompress
from deploy.tls import papers
from storage.settings import Settings

ROW = Batch("events", "ocsf_json", 0, [b"row"])
TOO_LONG = r"too long as a whole|timed out"
Say = Callable[[socket.socket], None]


@contextlib.contextmanager
def served(say: Say, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer each connection with what `say` says on it; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=_serve, args=(door, say, context), daemon=True)
        thread.start()
        yield door.getsockname()[1]
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _serve(door: socket.socket, say: Say, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            link, _ = door.accept()
        except OSError:
            return
        with (
            contextlib.suppress(OSError),
            link,
            context.wrap_socket(link, server_side=True) if context else link as spoken,
        ):
            say(spoken)


def _sender(port: int, whole_s: float = 0.6) -> Sender:
    sender = Sender(Server(f"http://127.0.0.1:{port}", "token"), "a", "host")
    sender.until = Until(whole_s, 0.5)
    return sender


def _trickle(link: socket.socket) -> None:
    link.recv(65536)
    for _ in range(100):
        link.sendall(b"H")
        time.sleep(0.05)


def _continue(link: socket.socket) -> None:
    link.recv(65536)
    for _ in range(1000):
        link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.005)


def _body_by_bytes(link: socket.socket) -> None:
    link.recv(65536)
    link.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(100):
        link.sendall(b"x")
        time.sleep(0.05)


def _reads_slowly(link: socket.socket) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(30):
        link.recv(512)
        time.sleep(0.05)


@pytest.mark.parametrize("say", [_trickle, _continue, _body_by_bytes])
def test_an_exchange_ends_as_a_whole(say: Say) -> None:
    with served(say) as port:
        began_s = time.monotonic()
        with pytest.raises(Away, match=TOO_LONG):
            _sender(port).send(ROW)
        assert time.monotonic() - began_s < 2


def test_who_reads_slowly_does_not_hold_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ship_timed.SLOWEST", 1 << 30)
    with served(_reads_slowly) as port:
        sender, began_s = _sender(port), time.monotonic()
        with pytest.raises(Away):
            sender.say("/v1/agents/evidence", b"\0" * (16 << 20))
        assert time.monotonic() - began_s < 3


def test_over_tls_too_and_for_who_enrols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = papers(Settings(data_dir=tmp_path), datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mine.certificate, mine.key)
    monkeypatch.setattr("agent.enroll.Until", lambda: Until(0.6, 0.5))
    with served(_continue, context) as port:
        sender = Sender(Server(f"https://127.0.0.1:{port}", "token", mine.ca), "a", "host")
        sender.until = Until(0.6, 0.5)
        with pytest.raises(Away, match=TOO_LONG):
            sender.send(ROW)
        with pytest.raises(Away, match=TOO_LONG):
            enroll(tmp_path / "agent", f"https://127.0.0.1:{port}", "token", "sha256:" + "0" * 64)


def _answering(status: str, body: bytes, *more: str) -> Say:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more]

    def say(link: socket.socket) -> None:
        link.recv(65536)
        link.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    return say


@pytest.mark.parametrize("asked", ["\u00b2", "9" * 400, "-1", "NaN"])
def test_a_wait_that_is_no_number_is_bounded(asked: str) -> None:
    with (
        served(_answering("429 Slow", b"", f"Retry-After: {asked}")) as port,
        pytest.raises(Away) as gone,
    ):
        _sender(port, 5).send(ROW)
    assert 0 <= gone.value.retry_after_s <= 3600


@pytest.mark.parametrize("date", ["Mon, 99 Nov 9999999999 10:00:00 GMT", "\u00b2", "x " * 99])
def test_a_date_that_is_none_says_nothing_of_the_clock(date: str) -> None:
    with served(_answering("202 Accepted", b"", f"Date: {date}")) as port:
        sender = _sender(port, 5)
        sender.send(ROW)
    assert sender.skew_s is None


def test_an_answer_that_is_nested_without_end_is_an_answer() -> None:
    with (
        served(_answering("503 Gone", b"[" * 4000, "Content-Type: application/json")) as port,
        pytest.raises(Away, match="503"),
    ):
        _sender(port, 5).send(ROW)


def test_a_strangers_bytes_are_shown_and_not_obeyed() -> None:
    with served(_answering("\x1b[2J\x07", b"")) as port, pytest.raises(Away) as gone:
        _sender(port, 5).send(ROW)
    assert str(gone.value).isprintable()
    assert "\\x1b[2J" in str(gone.value)


@pytest.mark.parametrize(
    "every", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "-7", "0"]
)
def test_a_house_cannot_have_the_agent_beat_without_a_pause(tmp_path: Path, every: str) -> None:
    body = f'{{"policy": "", "orders": [], "beat_s": {every}}}'.encode()
    spool, orders = Spool(tmp_path / "spool.sqlite"), Orders(tmp_path / "orders.sqlite")
    stop, waits = threading.Event(), list[float]()

    def wait(pause_s: float) -> None:
        waits.append(pause_s)
        stop.set()

    with served(_answering("200 OK", body)) as port:
        beat = Beat(spool, orders, _sender(port, 5), tmp_path)
        keep_beating(beat, stop, time.time, wait)
    assert waits
    assert LEAST_WAIT_S <= beat.every_s <= LONGEST_WAIT_S


def test_a_beat_that_is_nested_without_end_is_told_and_tried_again(tmp_path: Path) -> None:
    body = b'{"policy": ' + b"[" * 100_000
    with served(_answering("200 OK", body)) as port:
        spool, orders = Spool(tmp_path / "spool.sqlite"), Orders(tmp_path / "orders.sqlite")
        with pytest.raises(Away, match="as it does"):
            Beat(spool, orders, _sender(port, 5), tmp_path).beat(time.time())


def test_repeats_are_sent_as_they_are_and_the_house_takes_them() -> None:
    row = json.dumps({"message": "A" * 400_000}).encode() + b"\n"
    packed, how = _pack(row)
    assert decompress(packed, how, 1 << 24, 100) == row
    text = json.dumps({"message": "abc" * 9}).encode()
    assert _pack(text)[1] != "identity"
    assert MOST_GROWTH < 100


def test_an_enrolment_that_is_answered_with_junk_ends_in_words(tmp_path: Path) -> None:
    mine = papers(Settings(data_dir=tmp_path), datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mine.certificate, mine.key)
    with (
        served(_answering("\x1b[2J", b"[" * 60_000), context) as port,
        pytest.raises(AgentError) as wrong,
    ):
        enroll(tmp_path / "agent", f"https://127.0.0.1:{port}", "token", "sha256:" + "0" * 64)
    assert str(wrong.value).isprintable()
