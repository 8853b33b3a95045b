"""See that a message cut into IP fragments is read as if it had come whole."""

import random
import struct
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.reassembly import MAX_DATAGRAMS, MAX_HELD_BYTES, Reassembly
from pipelines.network.sensor import watch
from pipelines.network.tunnels import LAYERS
from tests.pipelines.network_frames import ETHERNET, capture, tcp, udp

QUESTION = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"\x07fragmnt\7example\0" + b"\0\1\0\1"
GET = b"GET /in/pieces HTTP/1.1\r\nHost: h.example\r\nUser-Agent: t\r\n\r\n"


def fragments(frame: bytes, size: int, number: int = 7) -> list[bytes]:
    """Cut an IPv4 frame into fragments of that many bytes."""
    head, data = bytearray(frame[14:34]), frame[34:]
    cut = []
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        head[2:4] = struct.pack(">H", 20 + len(piece))
        head[4:6] = struct.pack(">H", number)
        head[6:8] = struct.pack(">H", at >> 3 | (0x2000 if at + size < len(data) else 0))
        cut.append(ETHERNET + bytes(head) + piece)
    return cut


def fragments6(frame: bytes, size: int) -> list[bytes]:
    """Give an IPv4 frame's data as fragments between two IPv6 addresses."""
    data, protocol = frame[34:], frame[23]
    ends = b"\x20\1" + bytes(13) + b"\1" + b"\x20\1" + bytes(13) + b"\2"
    cut = []
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        more = at + size < len(data)
        head = b"\x60\0\0\0" + struct.pack(">H", 8 + len(piece)) + b"\x2c\x40" + ends
        cut.append(
            bytes(12) + b"\x86\xdd" + head + struct.pack(">BBHI", protocol, 0, at | more, 9) + piece
        )
    return cut


def read(frames: Iterable[bytes]) -> tuple[list[str | None], list[object]]:
    """Give the names asked for and the paths requested."""
    names: list[str | None] = []
    paths: list[object] = []
    for part in watch([capture(frames)]):
        names += [one.message.query for one in part.dns]
        paths += [row.fields["uri"] for row in part.others]
    return names, paths


@given(st.integers(1, 5), st.integers(0, 1_000))
@settings(max_examples=60, deadline=None)
def test_a_message_is_read_once_however_its_fragments_come(eighths: int, seed: int) -> None:
    chance = random.Random(seed)
    cut = fragments(udp(QUESTION, dport=53), 8 * eighths) + fragments(tcp(GET), 8 * eighths)
    again = cut + chance.sample(cut, len(cut) // 2)
    chance.shuffle(again)
    assert read(again) == (["fragmnt.example"], ["/in/pieces"])


@pytest.mark.parametrize("size", [8, 24])
def test_fragments_of_ipv6_are_put_together(size: int) -> None:
    cut = fragments6(udp(QUESTION, dport=53), size) + fragments6(tcp(GET), size)
    assert read(reversed(cut)) == (["fragmnt.example"], ["/in/pieces"])


def test_what_overlaps_does_not_rewrite_what_came_first() -> None:
    first, second = fragments(udp(QUESTION, dport=53), 24)
    # From the second eighth on, with other bytes, and as if more came.
    forged = bytearray(first)
    forged[20:22] = struct.pack(">H", 1 | 0x2000)
    forged[34:] = b"X" * 24
    assert read([first, bytes(forged), second])[0] == []
    assert read([first, second, bytes(forged)])[0] == ["fragmnt.example"]


def test_of_a_datagram_without_its_end_the_beginning_is_read() -> None:
    long = QUESTION[:7] + b"\1" + QUESTION[8:] + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\x04\1\2\3\4"
    first, *_ = fragments(udp(long, dport=53), 48)
    assert read([first]) == (["fragmnt.example"], [])


def test_a_flow_counts_fragments_as_they_came() -> None:
    cut = fragments(udp(QUESTION, dport=53), 8)
    (row,) = [
        r for part in watch([capture(cut)]) for r in part.flows.iter_rows(named=True)
    ]  # one flow, though only its first fragment has ports
    assert (row["dst_port"], row["packets_out"]) == (53, len(cut))


def test_unfinished_datagrams_are_bounded_in_number_and_bytes() -> None:
    held = Reassembly(LAYERS)
    big = bytes(60_000)
    frames = [fragments(udp(big, dport=9), 59_992, number)[0] for number in range(1_500)]
    for block in read_packets([capture(frames)]):
        held.whole(block, read_headers(block, LAYERS))
        held.given_up(int(block.time_ns[0]))
        assert len(held) <= MAX_DATAGRAMS
        assert held.held_bytes <= MAX_HELD_BYTES


def held_after(frames: Iterable[bytes]) -> tuple[Reassembly, int, int]:
    """Put frames together; give with it the bytes that are held then, and were held at most."""
    blocks = [(b, read_headers(b, LAYERS)) for b in read_packets([capture(frames)])]
    tracemalloc.start()
    try:
        held = Reassembly(LAYERS)
        for block, headers in blocks:
            held.whole(block, headers)
        return held, *tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def test_a_far_offset_costs_no_more_than_the_bytes_that_came() -> None:
    far = bytearray(fragments(udp(bytes(64), dport=9), 24)[0])
    far[20:22] = struct.pack(">H", 65_504 >> 3 | 0x2000)
    frames = []
    for number in range(9_500):  # one block of the ring
        far[18:20] = struct.pack(">H", number)
        frames.append(bytes(far))
    held, _, most = held_after(frames)
    assert len(held) == MAX_DATAGRAMS
    assert most < 4 << 20


@pytest.mark.parametrize("pieces", [1, 40])
def test_what_is_said_to_be_held_is_not_less_than_what_is(pieces: int) -> None:
    data = udp(bytes(16 * pieces), dport=9)
    cut = [fragments(data, 8, number)[: 2 * pieces : 2] for number in range(300)]
    held, now, _ = held_after([piece for each in zip(*cut, strict=True) for piece in each])
    assert len(held) == 300
    assert now <= held.held_bytes < 2 * now


def test_the_bound_holds_in_the_middle_of_a_block() -> None:
    big = udp(bytes(60_000), dport=9)
    frames = [fragments(big, 59_992, number)[0] for number in range(300)]
    held = Reassembly(LAYERS)
    given = 0
    for block in read_packets([capture(frames)]):
        held.whole(block, read_headers(block, LAYERS))
        assert held.held_bytes <= MAX_HELD_BYTES
        late = held.given_up(int(block.time_ns[0]))
        given += len(late[0]) if late else 0
    assert given + len(held) == 300  # what had no room is still read


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40)), min_size=1, max_size=20))
def test_of_bytes_that_come_twice_the_first_stay(told: list[tuple[int, int]]) -> None:
    # Against bytes that are written one by one.
    wanted: dict[int, int] = {}
    frames = []
    head = bytearray(fragments(udp(bytes(64), dport=9), 24)[0][:34])
    for number, (eighth, size) in enumerate(told):
        head[16:18] = struct.pack(">H", 20 + size)
        head[20:22] = struct.pack(">H", eighth | 0x2000)
        frames.append(bytes(head) + bytes([number]) * size)
        for at in range(8 * eighth, 8 * eighth + size):
            wanted.setdefault(at, number)
    held = Reassembly(LAYERS)
    for block in read_packets([capture(frames)]):
        held.whole(block, read_headers(block, LAYERS))
    given = held.given_up()
    end = next(at for at in range(1_000) if at not in wanted)
    assert (given is not None) == (end > 0)
    if given is not None:
        start = int(given[0].start[0]) + 20
        assert given[0].octets[start : start + int(given[0].captured[0]) - 20] == bytes(
            wanted[at] for at in range(end)
        )
