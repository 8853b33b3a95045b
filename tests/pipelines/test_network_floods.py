"""See what floods cost beside datagrams, and that what is let go in them is counted and chosen."""

import struct
import time
from collections.abc import Iterable
from itertools import islice

import pytest

from pipelines.network.protocols import dhcp, dtls, http, industrial, quic
from pipelines.network.protocols.hpack import HpackReader
from pipelines.network.protocols.tls import MAX_NUMBERS
from pipelines.network.sensor import Seen, watch
from pipelines.network.sightings import HTTP, HTTP2, OT, TLS, Sighting
from tests.pipelines import network_floods as floods
from tests.pipelines.network_frames import capture, tcp, udp
from tests.pipelines.test_network_http2 import HEADERS, client, frame
from tests.pipelines.test_network_tcp import record

PACKETS = 1_000


def spent(frames: Iterable[bytes]) -> float:
    """Give the CPU-seconds that a thousand packets take, the least of three."""
    data, least = capture(islice(frames, PACKETS)), float("inf")
    for _ in range(3):
        before = time.process_time()
        for _ in watch([data]):
            pass
        least = min(least, time.process_time() - before)
    return least


@pytest.mark.parametrize(
    ("name", "most", "before"),
    [
        ("tiny_segments", 20, 57), ("quic_small_initials", 40, 180), ("http_chunks", 60, 150),
        ("dns_broken_letters", 300, 600), ("dns_pointers", 300, 1_270),
        ("dns_texts", 60, 340), ("hello_of_empty_extensions", 80, 250),
        ("http2_indexed_fields", 200, 1_270), ("http2_table_evictions", 200, 1_060),
        ("modbus_functions", 260, 535),
    ],
)  # fmt: skip
def test_a_packet_of_a_flood_costs_no_more_datagrams(name: str, most: int, before: int) -> None:
    # `before`: what it was without the bound or the better way that this test guards.
    assert most < before
    assert spent(getattr(floods, name)()) < most * spent(floods.datagrams())


def seen(frames: Iterable[bytes]) -> tuple[list[Sighting], Seen]:
    """Give the rows of frames, and the last stretch, which has the count of what was let go."""
    rows: list[Sighting] = []
    last = None
    for last in watch([capture(frames)]):
        rows += last.others
    assert last is not None
    return rows, last


def modbus(code: int, unit: int = 1) -> bytes:
    return b"\0\1\0\0\0\2" + bytes([unit, code])


def test_a_write_behind_a_hundred_reads_is_told_and_the_reads_are_counted() -> None:
    sent = modbus(3) * 100 + modbus(6) + modbus(6, unit=9) + modbus(3) * 20
    rows, last = seen([tcp(sent, dport=502)])
    told = [(row.fields["code"], row.fields["unit"]) for row in rows if row.kind == OT]
    assert told == [(3, 1)] * industrial.MAX_TOLD + [(6, 1), (6, 9)]
    assert last.evicted == 122 - len(told)


def test_many_different_calls_of_a_segment_are_bounded() -> None:
    sent = b"".join(modbus(code, unit) for unit in range(20) for code in (3, 4, 5, 6))
    rows, last = seen([tcp(sent, dport=502)])
    writes = [row for row in rows if row.fields["is_write"]]
    assert len(rows) == industrial.MAX_TOLD + 2 * industrial.MAX_NEW
    assert len(writes) == industrial.MAX_TOLD // 2 + industrial.MAX_NEW
    assert last.evicted == 80 - len(rows)


def test_of_a_long_queue_of_dns_over_tcp_the_first_messages_are_read() -> None:
    one = b"\0\x13\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
    data = capture([tcp(one * 60, dport=53), tcp(one, dport=53, seq=1 + 60 * len(one))])
    *parts, last = watch([data])
    assert sum(len(part.dns) for part in parts) == 16 + 1
    assert last.evicted == 44


def test_of_a_long_queue_of_requests_the_first_are_read() -> None:
    rows, last = seen([tcp(b"GET / HTTP/1.1\r\n\r\n" * 77)])
    assert sum(row.kind == HTTP for row in rows) == http.MAX_HEADS
    assert last.evicted == 1


def test_a_hello_of_thousands_of_extensions_is_told_without_fingerprints() -> None:
    kinds = b"".join(struct.pack(">HH", n, 0) for n in range(MAX_NUMBERS + 1))
    body = b"\3\3" + bytes(33) + b"\0\2\x13\1\1\0" + struct.pack(">H", len(kinds)) + kinds
    sent = record(b"\1" + len(body).to_bytes(3, "big") + body)
    rows, _ = seen(tcp(sent[at : at + 1_400], seq=1 + at) for at in range(0, len(sent), 1_400))
    assert [(row.kind, row.fields["ja3"], row.fields["ja4"]) for row in rows] == [(TLS, None, None)]


def test_a_hello_in_endless_records_is_let_go_and_counted() -> None:
    hello = b"\1\0\x3e\x80" + bytes(15_996)
    sent = b"".join(b"\x16\3\1\0\1" + hello[n : n + 1] for n in range(2_900))
    first = b"\x16\3\1\0\4" + hello[:4]
    sent = first + sent[4 * 6 :]
    frames = [tcp(sent[at : at + 1_400], seq=1 + at) for at in range(0, len(sent), 1_400)]
    rows, last = seen(frames)
    assert (rows, last.evicted) == ([], 1)


def test_a_side_that_sends_more_blocks_than_bytes_allow_is_read_no_further() -> None:
    asks = frame(HEADERS, 1, b"\x82\x86\x84") * 2_000
    sent = client(asks)
    frames = [
        tcp(sent[at : at + 1_400], dport=8_080, seq=1 + at) for at in range(0, len(sent), 1_400)
    ]
    rows, last = seen(frames)
    assert 256 < sum(row.kind == HTTP2 for row in rows) < 1_500
    assert last.evicted == 1


def test_requests_with_bodies_are_read_however_many() -> None:
    ask = frame(HEADERS, 1, b"\x82\x86\x84") + frame(0, 1, b"x" * 40)
    sent = client(ask * 2_000)
    frames = [
        tcp(sent[at : at + 1_400], dport=8_080, seq=1 + at) for at in range(0, len(sent), 1_400)
    ]
    rows, last = seen(frames)
    assert sum(row.kind == HTTP2 for row in rows) == 2_000
    assert last.evicted == 0


def test_fields_named_in_a_long_row_are_given_once_and_count_each_time() -> None:
    reader = HpackReader()
    assert reader.read(b"\x82\x84" * 20) == [(":method", "GET"), (":path", "/")]
    assert len(reader.read(b"\x82\x84" * 4)) == 8
    with pytest.raises(ValueError, match="too many header fields"):
        reader.read(b"\x82" * 1_800)


def test_a_table_is_not_resized_in_the_middle_of_a_block() -> None:
    with pytest.raises(ValueError, match="in the middle"):
        HpackReader().read(b"\x82\x20")


def test_initials_in_small_datagrams_or_to_several_ids_are_not_opened() -> None:
    def initial(destination: bytes, size: int) -> bytes:
        length = struct.pack(">H", 0x4000 | size)
        return b"\xc3\0\0\0\1\x08" + destination + b"\0\0" + length + bytes(size)

    both = initial(b"a" * 8, 600) + initial(b"b" * 8, 600)
    assert [one.destination for one in quic.initials(both)] == [b"a" * 8]
    assert len(list(quic.initials(initial(b"a" * 8, 600) * 2))) == 2


def test_dtls_pieces_of_which_no_hello_is_made_are_passed_over() -> None:
    def piece(offset: int, size: int) -> bytes:
        told = b"\1" + (160).to_bytes(3, "big") + b"\0\0" + offset.to_bytes(3, "big")
        told += size.to_bytes(3, "big") + bytes(size)
        return b"\x16\xfe\xfd" + bytes(8) + struct.pack(">H", len(told)) + told

    assert [len(one.data) for one in dtls.pieces(piece(0, 10) + piece(10, 9))] == [10]
    assert [len(one.data) for one in dtls.pieces(piece(150, 10) + piece(159, 1))] == [10, 1]


def test_options_beyond_the_bound_are_not_read() -> None:
    head = b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\1"
    few = head + b"\x0a\0" * (dhcp.MAX_OPTIONS - 2) + b"\x0c\1h"
    many = head + b"\x0a\0" * (dhcp.MAX_OPTIONS - 1) + b"\x0c\1h"
    names = [one.hostname for data in (few, many) if (one := dhcp.read_message(data))]
    assert names == ["h", None]


def test_a_text_of_many_strings_says_that_it_goes_on() -> None:
    body = b"\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\x10\0\1"
    body += b"\xc0\x0c\0\x10\0\1\0\0\0\0" + struct.pack(">H", 200) + b"\1x" * 100
    (answer,) = next(iter(watch([capture([udp(body, dport=53)])]))).dns[0].message.answers
    assert answer == " ".join(['"x"'] * 64) + " ..."
