import struct
from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from pipelines.network.capture import read_packets
from pipelines.network.dns_framing import HTTP2_PREFACE
from pipelines.network.dns_message import read_message
from pipelines.network.dns_messages import DnsSighting, DnsWatch
from pipelines.network.headers import read_headers
from pipelines.network.tunnels import LAYERS

QUESTION = b"\x03www\x07example\x03org\x00" + struct.pack(">HH", 1, 1)
HEAD = struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
QUERY = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + QUESTION
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def answer(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> list[str]:
    record = name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    message = read_message(HEAD + QUESTION + record)
    assert message is not None
    return message.answers


def seen(packets: Iterable[Packet]) -> list[DnsSighting]:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    watch = DnsWatch()
    found: list[DnsSighting] = []
    for number, packet in enumerate(map(bytes, packets)):
        record = struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
        for block in read_packets([data + record]):
            found += watch.find(block, read_headers(block, LAYERS))
    return found


def segments(payload: bytes, cut: Iterable[int], port: int = 53) -> list[Packet]:
    at, out = 0, []
    for end in [*cut, len(payload)]:
        tcp = TCP(sport=9, dport=port, seq=(0xFFFFFFF0 + at) & 0xFFFFFFFF, flags="A")
        out.append(ETHER / IP(src="192.0.2.1", dst="192.0.2.2") / tcp / Raw(payload[at:end]))
        at = end
    return out


@pytest.mark.parametrize(
    ("kind", "data", "want"),
    [
        (1, bytes([192, 0, 2, 1]), "192.0.2.1"),
        (28, ip_address("2001:db8::1").packed, "2001:db8::1"),
        (5, b"\x01a\xc0\x10", "a.example.org"),
        (15, b"\x00\x0a\xc0\x0c", "10 www.example.org"),
        (33, struct.pack(">HHH", 1, 2, 443) + b"\x01b\x00", "1 2 443 b"),
        (65, b"\x00\x01\x00", "1 ."),
        (16, b"\x05hello", "hello"),
        (16, b"\x01a\x01b", '"a" "b"'),
        (6, b"\x02ns\xc0\x10\x02me\xc0\x10" + bytes(20), "ns.example.org me.example.org"),
        (43, bytes(9), "DS (9 bytes)"),
    ],
)
def test_answer_is_written_by_its_type(kind: int, data: bytes, want: str) -> None:
    assert answer(kind, data) == [want]


@pytest.mark.parametrize("name", [b"\xc0\x21", b"\xc0\xff", b"\x41" + bytes(65), b"\x3fabc"])
def test_pointer_in_a_circle_or_broken_name_ends_the_answers(name: bytes) -> None:
    assert answer(1, bytes(4), name) == []


def test_question_pointing_at_itself_is_no_message() -> None:
    assert read_message(HEAD + b"\xc0\x0c\x00\x01\x00\x01") is None


def test_code_and_type_are_names_and_binary_labels_stay_readable() -> None:
    data = struct.pack(">HHHHHH", 7, 0x8183, 1, 0, 0, 0) + b"\x04a\xed\xbfb\x00\x00\x0a\x00\x01"
    message = read_message(data)
    assert message is not None
    assert (message.query, message.qtype, message.rcode) == ("a\ufffdb", "NULL", "NXDOMAIN")


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300)
def test_garbage_is_a_message_or_none_but_no_error(garbage: bytes, headed: bool) -> None:
    read_message(HEAD + QUESTION + garbage if headed else garbage)


labels = st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True)


@given(st.lists(labels, min_size=1, max_size=6), st.ip_addresses(v=4), st.integers(0, 65_535))
@settings(max_examples=50, deadline=None)
def test_messages_scapy_makes_are_read_to_the_same_words(
    parts: list[str], address: object, number: int
) -> None:
    name = ".".join(parts)
    made = DNS(id=number, qr=1, qd=[DNSQR(qname=name)], an=[DNSRR(rrname=name, rdata=str(address))])
    message = read_message(bytes(made))
    assert message is not None
    assert (message.id, message.query, message.answers) == (number, name, [str(address)])


@pytest.mark.parametrize("port", [53, 5353, 5355])
def test_message_in_a_datagram_is_found_with_its_ends(port: int) -> None:
    packet = ETHER / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=9, dport=port) / Raw(QUERY)
    (found,) = seen([packet])
    assert found[1:6] == ("192.0.2.1", 9, "192.0.2.2", port, "udp")
    assert found.message.query == "www.example.org"


@pytest.mark.parametrize("cut", [[], [1], [2], [5, 20], [40], [36, 37]])
def test_messages_over_tcp_are_found_however_segmented(cut: list[int]) -> None:
    payload = (struct.pack(">H", len(QUERY)) + QUERY) * 2
    found = seen(segments(payload, cut))
    assert [f.message.query for f in found] == ["www.example.org"] * 2


def test_segment_sent_again_is_not_counted_again() -> None:
    first, second = segments(struct.pack(">H", len(QUERY)) + QUERY, [10])
    assert len(seen([first, first, second, second])) == 1


def test_dns_over_cleartext_http2_is_found_and_other_frames_are_not() -> None:
    frame = len(QUERY).to_bytes(3, "big") + bytes([0, 1, 0, 0, 0, 1]) + QUERY
    other = (20).to_bytes(3, "big") + bytes([0, 1, 0, 0, 0, 1]) + bytes(20)
    found = seen(segments(HTTP2_PREFACE + other + frame, [24, 30, 70], port=80))
    assert [f.message.query for f in found] == ["www.example.org"]
