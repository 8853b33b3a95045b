"""See that TCP's ways of cutting, turning and repeating bytes hide nothing from the sensor."""

import random
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.sensor import watch
from pipelines.network.sightings import Sighting
from pipelines.network.tcp_watch import TcpWatch
from pipelines.network.tunnels import LAYERS
from tests.pipelines.network_frames import capture, seen, segments, tcp

GET = b"GET /a HTTP/1.1\r\nHost: h.example\r\nUser-Agent: t\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: h.example\r\nContent-Length: 5\r\n\r\n"
SYN, SYN_ACK, ACK = 2, 18, 16


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


def client_hello(name: bytes = b"h.example", version: int = 0x0303) -> bytes:
    server_name = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
    extensions = extension(0, server_name) + extension(16, b"\0\3\2h2")
    extensions += extension(43, b"\x04\x03\x04\x03\x03") + extension(13, b"\0\4\4\3\x08\4")
    body = struct.pack(">H", version) + bytes(32) + b"\0" + b"\0\4\x13\1\xc0\x2b" + b"\1\0"
    body += struct.pack(">H", len(extensions)) + extensions
    return b"\1" + len(body).to_bytes(3, "big") + body


def record(body: bytes, kind: int = 22) -> bytes:
    return bytes([kind, 3, 1]) + len(body).to_bytes(2, "big") + body


def server_hello() -> bytes:
    body = b"\3\3" + bytes(32) + b"\0" + b"\x13\1\0" + b"\0\6" + extension(43, b"\3\4")
    return b"\2" + len(body).to_bytes(3, "big") + body


def said(rows: Sequence[Sighting], *names: str) -> list[tuple[object, ...]]:
    return [tuple(row.fields[name] for name in names) for row in rows]


@given(st.sets(st.integers(1, 200), max_size=12), st.integers(0, 1_000))
@settings(max_examples=150, deadline=None)
def test_a_request_is_read_however_it_is_cut_turned_and_repeated(cuts: set[int], seed: int) -> None:
    frames = segments(GET, cuts)
    chance = random.Random(seed)
    shuffled = [tcp(seq=0xFFFFFFEF, flags=SYN), frames[0]]
    # The first bytes come first; the others in any order, some twice.
    others = frames[1:] + chance.sample(frames, len(frames) // 2)
    chance.shuffle(others)
    assert said(seen(shuffled + others), "method", "uri", "host") == [("GET", "/a", "h.example")]


@given(st.sets(st.integers(1, 150), max_size=8), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_a_hello_is_read_however_it_is_cut_into_segments_and_records(
    cuts: set[int], piece: int
) -> None:
    hello = client_hello()
    parts = [hello[i : i + piece] for i in range(0, len(hello), piece)]
    frames = segments(b"".join(map(record, parts)), cuts, dport=443)
    assert said(seen(frames), "sni", "alpn") == [("h.example", "h2")]


def test_segments_across_blocks_are_put_together() -> None:
    watcher = TcpWatch()
    found: list[Sighting] = []
    for frame in segments(GET, range(1, len(GET), 5)):
        for block in read_packets([capture([frame])]):
            found += watcher.find(block, read_headers(block, LAYERS))
    found += watcher.close()
    assert said(found, "uri") == [("/a",)]


def test_many_streams_across_blocks_are_put_together() -> None:
    watcher = TcpWatch()
    halves = [(GET[:20], 0), (GET[20:], 20)]
    for half, seq in halves:
        for block in read_packets([capture(tcp(half, sport=p, seq=seq) for p in range(900, 940))]):
            list(watcher.find(block, read_headers(block, LAYERS)))
    assert len(list(watcher.close())) == 40


def test_pipelined_requests_in_one_segment_are_all_read_and_bodies_are_not() -> None:
    trick = b"POST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(GET)
    rows = seen([tcp(trick + GET + POST + b"GET /" + GET)])
    assert said(rows, "uri") == [("/b",), ("/b",), ("/a",)]


CHUNKED = b"HTTP/1.1 %d OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%s\r\n0\r\nT: 1\r\n\r\n"


@pytest.mark.parametrize("size", [9_000, 700, 61])
def test_answers_in_chunks_to_requests_in_one_segment_are_each_found(size: int) -> None:
    answers = b"".join(CHUNKED % (code, 800, b"GET / HT" * 100) for code in (200, 201, 202))
    places = range(0, len(answers), size)
    parts = [tcp(answers[at : at + size], seq=1 + at, back=True) for at in places]
    assert said(seen([tcp(GET * 3), *parts]), "uri", "status") == [
        ("/a", 200),
        ("/a", 201),
        ("/a", 202),
    ]


def test_a_request_behind_one_with_a_body_in_chunks_is_read() -> None:
    sent = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert said(seen([tcp(sent + GET)]), "uri") == [("/c",), ("/a",)]


@pytest.mark.parametrize("body", [b"zz\r\n", b"ffffffff\r\n", b"5;" + b"x" * 500, b"0\r\nT: " * 9])
def test_broken_chunks_hide_no_later_request(body: bytes) -> None:
    sent = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    frames = [tcp(sent), tcp(GET, seq=1 + len(sent) + (3 << 20))]
    assert said(seen(frames), "uri") == [("/c",), ("/a",)]


def test_a_line_end_too_many_before_a_request_is_passed_over() -> None:
    frames = [tcp(POST + b"12345"), tcp(b"\r\n" + GET, seq=1 + len(POST) + 5)]
    assert said(seen(frames), "uri") == [("/b",), ("/a",)]


def test_a_body_that_looks_like_a_head_in_its_own_segment_is_none() -> None:
    head = b"POST /b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (2 * len(GET))
    at = 1 + len(head)
    frames = [tcp(head), tcp(GET, seq=at), tcp(GET, seq=at + len(GET))]
    frames.append(tcp(b"GET /c HTTP/1.1\r\n\r\n", seq=at + 2 * len(GET)))
    assert said(seen(frames), "uri") == [("/b",), ("/c",)]


def test_an_answer_stands_with_its_request_and_head_has_no_body() -> None:
    head = b"HEAD /h HTTP/1.1\r\n\r\n"
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
    gone = b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n"
    frames = [tcp(head), tcp(GET, seq=1 + len(head)), tcp(ok, seq=7, back=True)]
    frames.append(tcp(gone, seq=7 + len(ok), back=True))
    rows = seen(frames)
    assert said(rows, "method", "status") == [("HEAD", 200), ("GET", 404)]
    assert {(row.src_port, row.dst_port) for row in rows} == {(40_000, 80)}


def test_an_interim_answer_is_passed_over() -> None:
    both = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n"
    assert said(seen([tcp(POST + b"12345"), tcp(both, back=True)]), "status") == [(201,)]


@pytest.mark.parametrize("cut_s", [20, len(GET) - 1])
def test_a_request_that_the_capture_cuts_off_counts_from_its_first_line_on(cut_s: int) -> None:
    assert said(seen([tcp(GET[:cut_s])]), "uri") == [("/a",)]


def test_hellos_of_both_sides_make_one_row() -> None:
    warned = record(b"\1\x70", 21) + record(server_hello())
    frames = [tcp(record(client_hello()), dport=443), tcp(warned, dport=443, back=True)]
    (row,) = seen(frames)
    assert (row.src_port, row.dst_port, row.fields["version"]) == (40_000, 443, "TLSv1.3")
    assert str(row.fields["ja4"]).startswith("t13d0204h2_")
    assert row.fields["cipher"] == "0x1301"
    assert row.community_id is not None


def test_a_second_hello_behind_a_change_of_ciphers_is_a_row_of_its_own() -> None:
    first = record(client_hello())
    again = record(b"\1", 20) + record(client_hello(b"other.example"))
    frames = [tcp(first, dport=443), tcp(again, seq=1 + len(first), dport=443)]
    assert said(seen(frames), "sni") == [("h.example",), ("other.example",)]


def test_a_hello_in_the_middle_of_a_connection_is_read() -> None:
    start = b"220 ready\r\n"
    frames = [tcp(start, dport=25), tcp(record(client_hello()), seq=1 + len(start), dport=25)]
    assert said(seen(frames), "sni") == [("h.example",)]


def test_a_new_handshake_between_the_same_ends_is_another_connection() -> None:
    frames = [tcp(GET, seq=5_000), tcp(seq=0, flags=SYN), tcp(GET, seq=1)]
    assert said(seen(frames), "uri") == [("/a",), ("/a",)]


def test_a_lost_segment_gives_up_its_message_only() -> None:
    size = 500
    lost = [tcp(b"GET /" + b"x" * size, seq=0)]
    frames = lost + [tcp(b"y" * size, seq=1_000 + size * n) for n in range(17)]
    frames.append(tcp(GET, seq=1_000 + size * 17))
    assert said(seen(frames), "uri")[-1:] == [("/a",)]


def test_what_is_given_up_is_counted() -> None:
    frames = [tcp(b"GET /" + b"x" * 50, seq=0), tcp(b"y", seq=100)]
    assert [part.evicted for part in watch([capture(frames)])][-1] == 1
    assert [part.evicted for part in watch([capture(segments(GET, [9]))])][-1] == 0


def test_banners_of_ssh_are_read_from_both_sides() -> None:
    frames = [tcp(b"SSH-2.0-a\r\n", dport=22), tcp(b"SSH-2.0-b\n", dport=22, back=True)]
    assert said(seen(frames), "banner", "is_server") == [("SSH-2.0-a", False), ("SSH-2.0-b", True)]


def test_other_traffic_is_nothing() -> None:
    frames = [tcp(b"GETTING nowhere"), tcp(b"\x16\x02\1\0\1\1", seq=900), tcp(bytes(60), seq=2_000)]
    assert seen(frames) == []


def test_a_large_segment_behind_many_small_ones_is_still_wanted() -> None:
    # Receive offload hands 30 KB over as one; at the first look it lies beyond the window.
    begun = b"GET /" + b"a" * 12_000
    rest = b" HTTP/1.1\r\nHost: h\r\nContent-Length: 29000\r\n\r\n" + b"x" * 29_000
    frames = [tcp(begun[at : at + 100], seq=1 + at) for at in range(0, len(begun), 100)]
    (row,) = seen([*frames, tcp(rest, seq=1 + len(begun))])
    assert (row.fields["host"], len(str(row.fields["uri"]))) == ("h", 12_001)
