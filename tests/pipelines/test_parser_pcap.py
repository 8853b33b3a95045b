import struct

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from pipelines.parsers import CONTRACT, pcap
from storage.errors import InvalidBatch
from storage.plugins import discover
from storage.schema import MAX_BATCH_ROWS, column_named
from tests.shared import shared_data

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ENDS = IP(src="192.0.2.1", dst="192.0.2.2")
QUERY = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x01a\x02de\x00\x00\x01\x00\x01"


def capture(*packets: bytes) -> bytes:
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    for second, packet in enumerate(packets):
        out += struct.pack("<IIII", second, 0, len(packet), len(packet)) + packet
    return out


CAPTURE = capture(
    bytes(ETHER / ENDS / TCP(sport=5, dport=6, flags="S")),
    bytes(ETHER / IP(src="192.0.2.2", dst="192.0.2.1") / TCP(sport=6, dport=5, flags="RA")),
    bytes(ETHER / ENDS / UDP(sport=9, dport=53) / Raw(QUERY)),
)


def events(*chunks: bytes) -> pl.DataFrame:
    return pl.concat((p.frame for p in pcap.parse(chunks)), how="diagonal")


def test_it_is_found_as_a_parser_and_knows_captures_by_their_head() -> None:
    assert discover("pipelines.parsers", CONTRACT)["pcap"] is pcap
    assert pcap.matches(CAPTURE[:100]) == 1.0
    assert pcap.matches(b"2024-01-01 hello") == 0.0


def test_flow_is_a_network_event_seen_from_the_opener() -> None:
    row = events(CAPTURE).row(by_predicate=pl.col("src_endpoint.port") == 5, named=True)
    assert (row["class_uid"], row["activity_id"], row["duration"]) == (4001, 5, 1_000)
    assert (row["dst_endpoint.ip"], row["dst_endpoint.port"]) == ("192.0.2.2", 6)
    assert (row["traffic.packets_out"], row["traffic.packets_in"]) == (1, 1)
    assert (row["traffic.bytes_out"], row["connection_info.state"]) == (54, "refused")
    assert row["connection_info.community_uid"].startswith("1:")


def test_dns_message_is_a_dns_event() -> None:
    (row,) = events(CAPTURE).filter(pl.col("class_uid") == 4003).to_dicts()
    assert (row["query.hostname"], row["query.type"], row["activity_id"]) == ("a.de", "A", 1)
    assert (row["time"].timestamp(), row["position"]) == (2.0, 0)


def test_columns_are_those_of_the_schema() -> None:
    for parsed in pcap.parse([CAPTURE]):
        for name, dtype in parsed.frame.schema.items():
            known = column_named(name)
            assert dtype == (known.dtype if known else pl.String()), name


def test_same_bytes_in_other_chunks_are_the_same_events() -> None:
    whole = events(CAPTURE)
    assert whole["position"].to_list() == [0, 1, 2]
    assert events(*(CAPTURE[i : i + 7] for i in range(0, len(CAPTURE), 7))).equals(whole)


def test_frames_keep_to_the_batch_size() -> None:
    sizes = [
        parsed.frame.height
        for file in shared_data("pcap").glob("large__*")
        for parsed in pcap.parse([file.read_bytes()])
    ]
    assert max(sizes) <= MAX_BATCH_ROWS


def test_damaged_capture_gives_its_events_and_then_the_reason() -> None:
    found = pcap.parse([CAPTURE[:-3]])
    assert next(found).frame.height == 1
    with pytest.raises(InvalidBatch, match="ends inside packet 2"):
        list(found)


@given(st.binary(min_size=1, max_size=400), st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_garbage_inside_a_capture_gives_no_other_error(garbage: bytes, at: int) -> None:
    try:
        list(pcap.parse([CAPTURE[:at] + garbage + CAPTURE[at + len(garbage) :]]))
    except InvalidBatch as refused:
        assert refused.format == "pcap"  # noqa: PT017  either outcome is right
