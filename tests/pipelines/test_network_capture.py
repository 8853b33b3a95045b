import struct
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network.capture import is_capture, read_packets
from pipelines.network.packets import PacketBlock
from storage.errors import InvalidBatch

FRAMES = [bytes(14), bytes(range(60)), b"\xff" * 33]


def pcap(order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, kept: int = 65_535) -> bytes:
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    for number, frame in enumerate(FRAMES):
        cut = frame[:kept]
        out += struct.pack(order + "IIII", 1_700_000_000, number, len(cut), len(frame)) + cut
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int, resolution: int | None = None) -> bytes:
    option = b"" if resolution is None else struct.pack(order + "HHB3x", 9, 1, resolution)
    return block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option)


def enhanced(order: str, number: int, ticks: int, frame: bytes) -> bytes:
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(order, 6, head + frame)


def frames(blocks: Iterable[PacketBlock]) -> list[bytes]:
    return [
        b.octets[start : start + size]
        for b in blocks
        for start, size in zip(b.start.tolist(), b.captured.tolist(), strict=True)
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1_000), (0xA1B23C4D, 1)])
def test_pcap_of_both_byte_orders_and_clocks_is_read(order: str, magic: int, unit_ns: int) -> None:
    (found,) = read_packets([pcap(order, magic)])
    assert frames([found]) == FRAMES
    assert (found.time_ns - 1_700_000_000 * 10**9).tolist() == [0, unit_ns, 2 * unit_ns]


def test_length_on_the_wire_is_kept_where_the_capture_kept_less() -> None:
    (found,) = read_packets([pcap(kept=20)])
    assert found.captured.tolist() == [14, 20, 20]
    assert found.wire.tolist() == [14, 60, 33]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_gives_each_packet_its_interfaces_link_and_clock(order: str) -> None:
    data = section(order) + interface(order, 1) + interface(order, 101, 9)
    data += interface(order, 113, 0x80 | 10)
    data += enhanced(order, 0, 5_000_001, FRAMES[0]) + enhanced(order, 1, 7, FRAMES[1])
    data += enhanced(order, 2, 3 * 1024 + 512, FRAMES[2])
    (found,) = (b for b in read_packets([data]) if len(b))
    assert frames([found]) == FRAMES
    assert found.link.tolist() == [1, 101, 113]
    assert found.time_ns.tolist() == [5_000_001_000, 7, 3_500_000_000]


def test_pcapng_sections_simple_and_old_packets_are_read() -> None:
    simple = block("<", 3, struct.pack("<I", 14) + FRAMES[0])
    old = block("<", 2, struct.pack("<HHIIII", 0, 0, 0, 9, 60, 60) + FRAMES[1])
    data = section("<") + interface("<", 1) + old + simple
    data += section(">") + interface(">", 101) + enhanced(">", 0, 1, FRAMES[2])
    found = list(read_packets([data]))
    assert frames(found) == [FRAMES[1], FRAMES[0], FRAMES[2]]
    assert [t for b in found for t in b.time_ns.tolist()] == [9_000, 9_000, 1_000]


@given(st.lists(st.integers(1, 50)), st.sampled_from([200, 1_000]))
@settings(max_examples=30)
def test_chunks_do_not_change_the_blocks(sizes: list[int], block_bytes: int) -> None:
    data, chunks, at = pcap() * 1 + pcap()[24:] * 5, [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    chunks.append(data[at:])
    whole = list(read_packets([data], block_bytes=block_bytes))
    parts = list(read_packets(chunks, block_bytes=block_bytes))
    assert [b.octets for b in parts] == [b.octets for b in whole]
    assert all(np.array_equal(p.start, w.start) for p, w in zip(parts, whole, strict=True))
    assert frames(parts) == FRAMES * 6


@pytest.mark.parametrize("cut", [1, 10, 33, 40])
def test_cut_off_capture_gives_its_whole_packets_and_then_the_reason(cut: int) -> None:
    blocks = read_packets([pcap()[:-cut]])
    assert frames([next(blocks)]) == FRAMES[:2]
    with pytest.raises(InvalidBatch, match="ends inside packet 2"):
        next(blocks)


@pytest.mark.parametrize(
    "data", [b"", b"hello, world, this is no capture", b"\xd4\xc3\xb2\xa1", section("<")[:10]]
)
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidBatch):
        list(read_packets([data]))


def test_absurd_length_is_refused_without_reading_on() -> None:
    data = pcap() + struct.pack("<IIII", 0, 0, 0x7FFFFFFF, 60)
    with pytest.raises(InvalidBatch, match="packet 3 claims 2147483647 bytes"):
        list(read_packets([data, b"x" * 1000]))


@given(st.sampled_from([pcap(), section("<") + interface("<", 1)]), st.binary(max_size=300))
@settings(max_examples=200)
def test_garbage_behind_a_good_beginning_never_gives_another_error(
    head: bytes, garbage: bytes
) -> None:
    assert is_capture(head)
    try:
        for found in read_packets([head + garbage]):
            assert (found.start + found.captured <= len(found.octets)).all()
    except InvalidBatch as refused:
        assert refused.format == "pcap"  # noqa: PT017  either outcome is right


def test_a_block_whose_two_lengths_differ_ends_the_capture_there() -> None:
    sound = section("<") + interface("<", 1) + enhanced("<", 0, 5, FRAMES[0])
    torn = bytearray(enhanced("<", 0, 6, FRAMES[1]))
    torn[-4] ^= 4
    blocks = read_packets([sound + bytes(torn)])
    assert frames([next(b for b in blocks if len(b))]) == [FRAMES[0]]
    with pytest.raises(InvalidBatch, match="behind packet 1 ends with another length"):
        list(blocks)
