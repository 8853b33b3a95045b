"""The fault proxy does to a line what it says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import CUT, FAIR, SILENT, Proxy, Weather


@pytest.fixture
def line() -> Iterator[Proxy]:
    """Give a proxy before a server that echoes."""
    server = socket.create_server(("127.0.0.1", 0))

    def echo(peer: socket.socket) -> None:
        with peer:
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(peer,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with Proxy(server.getsockname()[1]) as proxy:
        yield proxy
    server.close()


def _dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=3)


def _echo(peer: socket.socket, data: bytes) -> bytes:
    peer.sendall(data)
    found = b""
    while len(found) < len(data) and (more := peer.recv(65536)):
        found += more
    return found


def _is_ended(peer: socket.socket) -> bool:
    """Answer whether the other side is gone; a living, silent one runs into the time limit."""
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True


def _is_refused(line: Proxy) -> bool:
    try:
        with _dial(line) as late:
            return _is_ended(late)
    except ConnectionError:
        return True


def test_on_a_fair_day_bytes_pass(line: Proxy) -> None:
    with _dial(line) as peer:
        assert _echo(peer, b"x" * 200_000) == b"x" * 200_000


def test_a_cut_line_resets_what_is_there_and_what_comes(line: Proxy) -> None:
    with _dial(line) as peer:
        assert _echo(peer, b"a") == b"a"
        line.weather = CUT
        assert _is_ended(peer)
    assert _is_refused(line)
    line.weather = FAIR
    with _dial(line) as again:
        assert _echo(again, b"c") == b"c"


def test_a_silent_line_takes_and_gives_nothing(line: Proxy) -> None:
    with _dial(line) as peer:
        line.weather = SILENT
        peer.settimeout(0.4)
        peer.sendall(b"a")
        with pytest.raises(TimeoutError):
            peer.recv(1)
        peer.settimeout(3)
        line.weather = FAIR
        assert _is_ended(peer)


def test_a_slow_line_delays_and_throttles(line: Proxy) -> None:
    with _dial(line) as peer:
        line.weather = Weather(delay_s=0.2)
        began = time.monotonic()
        assert _echo(peer, b"a") == b"a"
        assert time.monotonic() - began >= 0.4
        line.weather = Weather(bytes_s=200_000)
        began = time.monotonic()
        assert _echo(peer, b"a" * 200_000) == b"a" * 200_000
        assert time.monotonic() - began >= 0.5


def test_a_line_breaks_in_the_middle_of_a_message(line: Proxy) -> None:
    line.weather = Weather(reset_after=1000)
    with _dial(line) as peer:
        found, ended = b"", False
        while not ended and len(found) < 5000:
            found, ended = _more(peer, found)
        assert ended
        assert 0 < len(found) <= 1000


def _more(peer: socket.socket, found: bytes) -> tuple[bytes, bool]:
    try:
        peer.sendall(b"a" * 600)
        more = peer.recv(65536)
    except ConnectionError:
        return found, True
    return found + more, not more
