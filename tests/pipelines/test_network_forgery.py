"""See that no port, body, decoy or long line hides a message of TCP or forges one."""

from collections.abc import Callable, Iterable

import pytest

from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.protocols.bodies import MAX_BODY
from pipelines.network.protocols.http import MAX_HEAD
from pipelines.network.sensor import watch
from pipelines.network.sightings import FILES, HTTP, KINDS, OT, SSH, TLS, Sighting
from pipelines.network.tcp_watch import TcpWatch
from pipelines.network.tunnels import LAYERS
from tests.pipelines.network_frames import capture, seen, tcp
from tests.pipelines.test_network_tcp import client_hello, record, said, server_hello

GET = b"GET /a HTTP/1.1\r\nHost: h.example\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: h.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
SYN, SYN_ACK, FIN_ACK, RST = 2, 18, 17, 4
WRITE = b"\0\1\0\0\0\6\1\6\0\0\0\1"
"""Modbus: write one register."""
SMALL_GET = b"GET /b HTTP/1.0\r\n\r\n"
FORGED = {
    "request": b"GET /EVIL HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "answer": b"HTTP/1.1 404 EVIL\r\n\r\n",
    "hello": record(client_hello(b"evil.example")),
    "banner": b"SSH-2.0-EVIL\r\n",
}


Read = Callable[[Iterable[bytes]], list[Sighting]]


class Talk:
    """Write the segments of a connection: `asks` and `answers`, one each."""

    def __init__(self, dport: int = 80, sport: int = 40_000, *, syn: bool = True) -> None:
        self._ports = {"dport": dport, "sport": sport}
        self._next = [1_000, 5_000]
        self.frames: list[bytes] = []
        if syn:
            self.put(b"", flags=SYN).put(b"", back=True, flags=SYN_ACK)

    def put(self, data: bytes, *, back: bool = False, flags: int = 24, off: int = 0) -> "Talk":
        seq = self._next[back]
        self.frames.append(tcp(data, seq=seq + off, back=back, flags=flags, **self._ports))
        if not off:
            self._next[back] += len(data) + bool(flags & 3)
        return self

    def asks(self, *parts: bytes) -> "Talk":
        for part in parts:
            self.put(part)
        return self

    def answers(self, *parts: bytes) -> "Talk":
        for part in parts:
            self.put(part, back=True)
        return self

    def loses(self, size: int) -> "Talk":
        self._next[1] += size
        return self


def of(rows: Iterable[Sighting], *kinds: str) -> list[Sighting]:
    return [row for row in rows if row.kind in kinds]


def block_by_block(frames: Iterable[bytes]) -> list[Sighting]:
    watcher = TcpWatch()
    found: list[Sighting] = []
    for frame in frames:
        for block in read_packets([capture([frame])]):
            found += watcher.find(block, read_headers(block, LAYERS))
    return [*found, *watcher.close()]


@pytest.mark.parametrize("ports", [(80, 102), (80, 502), (80, 20_000), (80, 44_818), (102, 40_000)])
def test_an_industrial_port_hides_nothing_else(ports: tuple[int, int]) -> None:
    http = Talk(*ports).asks(GET[:30], GET[30:]).answers(OK).asks(NEXT).answers(OK).frames
    assert said(of(seen(http), HTTP), "uri", "status") == [("/a", 200), ("/next", 200)]
    hello = record(client_hello())
    tls = Talk(*ports).asks(hello[:50], hello[50:]).answers(record(server_hello())).frames
    assert said(of(seen(tls), TLS), "sni", "version") == [("h.example", "TLSv1.3")]
    ssh = Talk(*ports).asks(b"SSH-2.0-a\r\n").answers(b"SSH-2.0-b\r\n").frames
    assert said(of(seen(ssh), SSH), "banner") == [("SSH-2.0-a",), ("SSH-2.0-b",)]


def test_other_protocols_hide_no_write_at_an_industrial_port() -> None:
    before = [FORGED["request"], FORGED["answer"], FORGED["hello"], FORGED["banner"], ENDLESS]
    for what in before:
        talk = Talk(dport=502).asks(what, WRITE[:3], WRITE[3:], WRITE).answers(ENDLESS, WRITE)
        assert said(of(seen(talk.frames), OT), "is_write") == [(True,), (True,), (False,)], what


@pytest.mark.parametrize("kinds", [KINDS, (*KINDS, FILES)])
@pytest.mark.parametrize("what", FORGED)
def test_a_servers_body_forges_no_row(what: str, kinds: tuple[str, ...]) -> None:
    evil = FORGED[what].ljust(30_000, b"x")
    parts = [evil[at : at + 1_400] for at in range(0, len(evil), 1_400)]
    again = FORGED[what].ljust(1_400, b"x")
    length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    ways = (
        [CHUNKS + b"7530\r\n", *parts, b"\r\n", b"578\r\n", again, b"\r\n0\r\n\r\n"],
        [CHUNKS + b"nothing", *parts, again],
        [CHUNKS + b"7fffffff\r\n", *parts, again],
        [ENDLESS, *parts, again],
        [length % 30_000, *parts],
        [length % (3 << 30), *parts, again],
    )
    for way in ways:
        talk = Talk().asks(GET).answers(*way).asks(NEXT).answers(OK)
        parts_seen = watch([capture(talk.frames)], flows=False, dns=False, others=kinds)
        rows = [row for part in parts_seen for row in part.others if row.kind != FILES]
        assert said(of(rows, HTTP), "uri", "status")[:1] == [("/a", 200)], way[0]
        assert [row.kind for row in rows] == [HTTP, HTTP], way[0]


def test_behind_a_body_without_a_length_the_next_answer_counts() -> None:
    for start in (ENDLESS, CHUNKS + b"578\r\n", CHUNKS + b"nothing"):
        talk = Talk().asks(GET).answers(start, b"x" * 1_400).loses(1_400)
        talk.asks(NEXT).answers(*[b"y" * 99] * 20).asks(SMALL_GET).answers(OK)
        rows = said(seen(talk.frames), "uri", "status")
        assert rows == [("/a", 200), ("/next", 200), ("/b", None)], start


def test_a_lost_chunk_hides_no_later_answer() -> None:
    talk = Talk().asks(GET).answers(CHUNKS + b"578\r\n").loses(1_402)
    talk.answers(*[b"578\r\n" + b"z" * 1_400 + b"\r\n"] * 20, b"0\r\n\r\n").asks(NEXT).answers(OK)
    assert said(seen(talk.frames), "uri", "status") == [("/a", 200), ("/next", 200)]


def test_a_client_that_answers_first_is_not_passed_over() -> None:
    for syn in (True, False):
        talk = Talk(syn=syn).asks(ENDLESS, GET).answers(OK)
        assert ("/a", 200) in said(seen(talk.frames), "uri", "status")


def test_tls_behind_a_proxys_answer_without_a_length_is_read() -> None:
    talk = Talk(dport=8_080).asks(b"CONNECT h.example:443 HTTP/1.1\r\n\r\n").answers(ENDLESS)
    talk.asks(record(client_hello())).answers(record(server_hello()))
    assert said(of(seen(talk.frames), TLS), "sni", "version") == [("h.example", "TLSv1.3")]


def test_a_refused_connect_has_a_body() -> None:
    refused = b"HTTP/1.1 407 No\r\nContent-Length: %d\r\n\r\n" % len(FORGED["request"])
    talk = Talk().asks(b"CONNECT h:443 HTTP/1.1\r\n\r\n").answers(refused, FORGED["request"])
    assert said(seen(talk.frames), "method", "status") == [("CONNECT", 407)]


def test_a_body_keeps_its_request_when_the_next_one_comes_early() -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
    talk = Talk().asks(GET).answers(first).asks(NEXT).answers(b"56789", OK)
    parts = watch([capture(talk.frames)], flows=False, dns=False, others=(FILES,))
    rows = of((row for part in parts for row in part.others), FILES)
    assert said(rows, "uri", "size") == [("/a", 10), ("/next", 2)]


def test_a_body_without_a_length_ends_where_the_next_request_is_answered() -> None:
    talk = Talk().asks(GET).answers(ENDLESS + b"01234").asks(NEXT).answers(OK)
    parts = watch([capture(talk.frames)], flows=False, dns=False, others=(FILES,))
    rows = of((row for part in parts for row in part.others), FILES)
    assert said(rows, "uri", "seen_bytes") == [("/a", 5), ("/next", 2)]


def test_a_sent_body_keeps_its_request_when_the_answer_comes_early() -> None:
    post = b"POST /up HTTP/1.1\r\nContent-Length: 10\r\n\r\n01234"
    talk = Talk().asks(post).answers(OK).asks(b"56789")
    parts = watch([capture(talk.frames)], flows=False, dns=False, others=(FILES,))
    rows = of((row for part in parts for row in part.others), FILES)
    assert said(rows, "uri", "size") == [("/up", 2), ("/up", 10)]


@pytest.mark.parametrize("read", [seen, block_by_block])
def test_data_in_the_syn_are_read(read: Read) -> None:
    fast = Talk(syn=False).put(GET, flags=SYN).put(b"", back=True, flags=SYN_ACK).answers(OK)
    assert said(read(fast.frames), "uri", "status") == [("/a", 200)]
    (syn, *others) = fast.frames
    assert said(read([syn, syn, *others]), "uri", "status") == [("/a", 200)]
    plain = [tcp(seq=1_000, flags=SYN), tcp(GET, seq=1_001)]
    # Whose data the server did not take sends them again, which is another connection here.
    rows = said(read([syn, *plain, *others]), "uri", "status")
    assert rows == [("/a", None), ("/a", 200)]


def test_a_hello_split_over_the_syn_and_what_follows_is_read() -> None:
    hello = record(client_hello())
    fast = Talk(syn=False, dport=443).put(hello[:60], flags=SYN).asks(hello[60:])
    assert said(seen(fast.frames), "sni") == [("h.example",)]


@pytest.mark.parametrize("off", [-500, -(2 << 20)])
@pytest.mark.parametrize("read", [seen, block_by_block])
def test_a_decoy_below_the_window_takes_no_answer(read: Read, off: int) -> None:
    decoy = b"GET /decoy HTTP/1.1\r\n\r\n"
    talk = Talk().put(decoy, off=off).asks(GET)
    talk.put(OK.replace(b"200", b"404"), back=True, off=off).answers(OK)
    assert said(read(talk.frames), "uri", "status") == [("/a", 200)]


@pytest.mark.parametrize("off", [10, 500, 2 << 20])
@pytest.mark.parametrize("decoy", [b"GET /decoy HTTP/1.1\r\n\r\n", b"GET /decoy"])
@pytest.mark.parametrize("read", [seen, block_by_block])
def test_a_decoy_ahead_neither_hides_the_first_request_nor_takes_its_answer(
    read: Read, decoy: bytes, off: int
) -> None:
    talk = Talk().put(decoy, off=off).asks(GET[:20], GET[20:]).answers(OK).asks(NEXT).answers(OK)
    rows = said(read(talk.frames), "uri", "status")
    assert [row for row in rows if row[1]] == [("/a", 200), ("/next", 200)]


@pytest.mark.parametrize("read", [seen, block_by_block])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_false_syn_hides_no_request(read: Read, at: int) -> None:
    frames = Talk().asks(GET, NEXT).frames
    frames.insert(at, tcp(seq=1_000 + (1 << 30), flags=SYN))
    assert said(read(frames), "uri") == [("/a",), ("/next",)]


@pytest.mark.parametrize("read", [seen, block_by_block])
def test_who_opened_is_the_client_of_ssh(read: Read) -> None:
    talk = Talk(dport=50_022).answers(b"SSH-2.0-s\r\n").asks(b"SSH-2.0-c\r\n")
    expected = [("SSH-2.0-s", True), ("SSH-2.0-c", False)]
    assert said(read(talk.frames), "banner", "is_server") == expected
    assert said(read(talk.frames[1:]), "banner", "is_server") == expected
    without = [("SSH-2.0-s", False), ("SSH-2.0-c", True)]
    assert said(read(talk.frames[2:]), "banner", "is_server") == without


@pytest.mark.parametrize("size", [1_400, 60_000])
def test_a_first_line_that_is_too_long_is_cut(size: int) -> None:
    asked = b"GET /" + b"u" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n"
    said_ = b"HTTP/1.1 200 " + b"v" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n"
    cut = [[text[at : at + size] for at in range(0, len(text), size)] for text in (asked, said_)]
    talk = Talk().asks(*cut[0]).answers(*cut[1]).asks(NEXT).answers(OK)
    long, other = seen(talk.frames)
    assert (long.fields["method"], long.fields["status"]) == ("GET", 200)
    assert str(long.fields["uri"]) == "/" + "u" * (MAX_HEAD - 5)
    assert said([other], "uri", "status") == [("/next", 200)]


@pytest.mark.parametrize("both", [True, False])
def test_a_reset_behind_both_ends_is_closed(both: bool) -> None:
    talk = Talk().asks(GET).answers(OK).put(b"", flags=FIN_ACK)
    if both:
        talk.put(b"", back=True, flags=FIN_ACK)
    talk.put(b"", flags=RST)
    (part,) = [p.flows for p in watch([capture(talk.frames)]) if p.flows.height]
    assert part["state"].to_list() == ["closed" if both else "reset"]


def test_a_failure_of_modbus_has_the_code_that_failed() -> None:
    talk = Talk(dport=502).asks(b"\0\1\0\0\0\3\1\x17\0").answers(b"\0\1\0\0\0\3\1\x97\2")
    talk.answers(b"\0\2\0\0\0\2\1\x97")
    names = ("code", "function", "is_request", "failure")
    name = "read/write multiple registers"
    assert said(seen(talk.frames), *names) == [
        (23, name, True, None),
        (23, name, False, 2),
        (23, name, False, 0),
    ]


@pytest.mark.parametrize("kinds", [KINDS, (*KINDS, FILES)])
def test_the_final_answer_goes_to_the_request_behind_interim_ones(kinds: tuple[str, ...]) -> None:
    post = b"POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"
    for interim in ([b"HTTP/1.1 100 Continue\r\n\r\n"], [early, early], [early + early]):
        talk = Talk().asks(post).answers(*interim).asks(b"hello")
        talk.answers(early, b"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n").asks(NEXT)
        talk.answers(early + OK)
        parts = watch([capture(talk.frames)], flows=False, dns=False, others=kinds)
        rows = of((row for part in parts for row in part.others), HTTP)
        assert said(rows, "uri", "status") == [("/p", 201), ("/next", 200)]


def test_of_a_long_body_in_chunks_the_next_one_is_still_found() -> None:
    body = b"".join(b"1000\r\n" + bytes(4_096) + b"\r\n" for _ in range(9)) + b"0\r\n\r\n"
    sent = CHUNKS + body
    talk = Talk().asks(GET).answers(*[sent[at : at + 1_000] for at in range(0, len(sent), 1_000)])
    talk.asks(NEXT).answers(OK)
    parts = watch([capture(talk.frames)], flows=False, dns=False, others=(FILES,))
    rows = of((row for part in parts for row in part.others), FILES)
    assert said(rows, "uri", "seen_bytes", "size") == [("/a", MAX_BODY, None), ("/next", 2, 2)]


@pytest.mark.parametrize("size", [1, 7, 500])
def test_fields_behind_the_last_chunk_hide_no_answer_however_they_are_cut(size: int) -> None:
    sent = CHUNKS + b"3;x=y\r\nabc\r\n0\r\n" + b"T: 1\r\n" * 60 + b"\r\n" + OK
    parts = [sent[at : at + size] for at in range(0, len(sent), size)]
    talk = Talk().asks(GET, NEXT).answers(*parts)
    assert said(seen(talk.frames), "uri", "status") == [("/a", 200), ("/next", 200)]


def test_endless_fields_behind_the_last_chunk_are_given_up_and_counted() -> None:
    fields = [b"T: 1\r\n" * 200] * 20
    talk = Talk().asks(GET).answers(CHUNKS + b"0\r\n", *fields, FORGED["answer"])
    talk.asks(NEXT).answers(OK)
    parts = list(watch([capture(talk.frames)]))
    rows = of((row for part in parts for row in part.others), HTTP)
    assert said(rows, "uri", "status") == [("/a", 200), ("/next", 200)]
    assert parts[-1].evicted == 1
