"""Ship to a real HTTPS server with a CA of its own, a strange CA, a busy one and a refusing one."""

import re
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import agent.ship
from agent import deliver
from agent.errors import AgentError, Away
from agent.run import agent_id
from agent.ship import Sender, Server
from agent.spool import Batch, Spool
from api.body import decompress
from deploy.tls import papers
from storage.settings import Settings


class _Door(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.taken: list[tuple[int, list[bytes], str]] = []
        self.asked: list[dict[str, list[str]]] = []
        self.busy = 0
        self.encodings: list[str] = []
        self.ports: list[int] = []
        self.no, self.no_as = 422, "application/problem+json"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        door = self.server
        assert isinstance(door, _Door)
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = decompress(raw, self.headers["Content-Encoding"], 1 << 24, 10**6)
        door.ports.append(self.client_address[1])
        door.encodings.append(self.headers["Content-Encoding"])
        asked = parse_qs(urlsplit(self.path).query)
        door.asked.append(asked)
        rows = body.splitlines()
        if door.busy > 0:
            door.busy -= 1
            self.send_response(429)
            self.send_header("Retry-After", "7")
        elif b"poison" in rows:
            self.send_response(door.no)
            self.send_header("Content-Type", door.no_as)
        else:
            door.taken.append((int(asked["position"][0]), rows, self.headers["Authorization"]))
            self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[_Door, Server]]:
    mine = papers(Settings(data_dir=tmp_path), datetime.now(UTC))
    server = _Door()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mine.certificate, mine.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server, Server(f"https://127.0.0.1:{server.server_port}", "inop_main_x", mine.ca)
    server.shutdown()
    thread.join()
    server.server_close()


def ship_all(spool: Spool, server: Server) -> int:
    """Ship with a connection of its own."""
    sender = Sender(server, agent_id(spool), "host")
    try:
        return deliver.ship_all(spool, sender)
    finally:
        sender.close()


def _spool(tmp_path: Path, *rows: bytes) -> Spool:
    spool = Spool(tmp_path / "spool.sqlite")
    spool.append("events", "ocsf_json", rows)
    return spool


def test_rows_arrive_once_with_position_and_token(
    tmp_path: Path, door: tuple[_Door, Server]
) -> None:
    spool = _spool(tmp_path, b"a", b"b")
    assert ship_all(spool, door[1]) == 2
    assert door[0].taken == [(0, [b"a", b"b"], "Bearer inop_main_x")]
    assert ship_all(spool, door[1]) == 0


def test_a_busy_server_paces_the_agent_and_loses_nothing(
    tmp_path: Path, door: tuple[_Door, Server]
) -> None:
    spool = _spool(tmp_path, b"a")
    door[0].busy = 1
    with pytest.raises(Away) as away:
        ship_all(spool, door[1])
    assert away.value.retry_after_s == 7
    assert ship_all(spool, door[1]) == 1


def test_a_poisonous_row_is_given_up_alone_and_counted(
    tmp_path: Path, door: tuple[_Door, Server]
) -> None:
    spool = _spool(tmp_path, b"a", b"b", b"poison", b"c")
    ship_all(spool, door[1])
    assert sorted(r for _, rows, _ in door[0].taken for r in rows) == [b"a", b"b", b"c"]
    assert [q["dropped"] for q in spool.queue()] == [1]


def test_a_strange_certificate_gets_no_token(tmp_path: Path, door: tuple[_Door, Server]) -> None:
    other = papers(Settings(data_dir=tmp_path / "other"), datetime.now(UTC))
    with pytest.raises(Away, match="CERTIFICATE_VERIFY_FAILED"):
        ship_all(_spool(tmp_path, b"a"), Server(door[1].url, "t", other.ca))
    assert door[0].taken == []


def test_clear_text_to_elsewhere_is_refused() -> None:
    with pytest.raises(AgentError, match="use https"):
        Server("http://siem.example.com", "secret")


def test_the_token_never_shows() -> None:
    assert "secret" not in repr(Server("https://siem.example.com", "secret"))


def test_a_log_of_any_name_is_taken(tmp_path: Path, door: tuple[_Door, Server]) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    names = ["log:/my app.log", "log:/my_app.log", "log:/caf\u00e9.log", "log:/" + "x" * 4000]
    for name in names:
        spool.append(name, "syslog", [b"a"])
    assert ship_all(spool, door[1]) == 4
    sources = {asked["source"][0] for asked in door[0].asked}
    assert len(sources) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._:@/+=-]{1,200}", source) for source in sources)
    assert all(len(asked["name"][0]) <= 300 for asked in door[0].asked)


class _Failing:
    """Fail first in a way that nobody foresaw, then carry."""

    skew_s: float | None = None

    def __init__(self, stop: threading.Event) -> None:
        self.errors: list[Exception] = [OSError("disk full"), Away("gone", 7), Away("gone")]
        self.taken: list[list[bytes]] = []
        self._stop = stop

    def send(self, batch: Batch) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(batch.rows)
        self._stop.set()


def test_a_sender_that_fails_tries_again_ever_later_and_as_the_server_asks(tmp_path: Path) -> None:
    spool, stop, waits = _spool(tmp_path, b"a"), threading.Event(), list[float]()
    sender = _Failing(stop)
    deliver.deliver(spool, sender, stop, waits.append)
    assert sender.taken == [[b"a"]]
    assert 0.5 <= waits[0] <= 1.5
    assert 7 <= waits[1] <= 8.4
    assert 2 <= waits[2] <= 6


def test_one_connection_carries_many_batches_and_the_skew_is_known(
    tmp_path: Path, door: tuple[_Door, Server]
) -> None:
    spool = _spool(tmp_path, *(b"%d" % n for n in range(5000)))
    sender = Sender(door[1], "id", "host", now_s=lambda: time.time() + 600)
    assert deliver.ship_all(spool, sender) == 5000
    sender.close()
    assert len(set(door[0].ports)) == 1
    assert float(spool.note(deliver.SKEW, 0)) == pytest.approx(-600, abs=3)


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(
    tmp_path: Path, door: tuple[_Door, Server]
) -> None:
    spool, sender = _spool(tmp_path, b"a"), Sender(door[1], "id", "host")
    deliver.ship_all(spool, sender)
    assert sender._link is not None
    sender._link.sock.close()
    spool.append("events", "ocsf_json", [b"b"])
    with pytest.raises(Away):
        deliver.ship_all(spool, sender)
    assert deliver.ship_all(spool, sender) == 1
    sender.close()


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_batches_are_packed_as_the_host_can(
    tmp_path: Path, door: tuple[_Door, Server], monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    if encoding == "gzip":
        monkeypatch.setattr(agent.ship, "zstandard", None)
    ship_all(_spool(tmp_path, b"a"), door[1])
    assert door[0].encodings == [encoding]


def test_the_word_of_a_proxy_is_not_final(tmp_path: Path, door: tuple[_Door, Server]) -> None:
    spool = _spool(tmp_path, b"poison")
    door[0].no, door[0].no_as = 413, "text/html"
    with pytest.raises(Away):
        ship_all(spool, door[1])
    assert [q["waiting"] for q in spool.queue()] == [1]


def test_a_cloned_machine_gets_an_identity_of_its_own(tmp_path: Path) -> None:
    spool, machine = _spool(tmp_path), tmp_path / "machine-id"
    machine.write_text("one\n")
    first = agent_id(spool, machine)
    assert agent_id(spool, machine) == first
    machine.write_text("two\n")
    assert agent_id(spool, machine) != first
