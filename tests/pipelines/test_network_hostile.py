"""Give the sensor what nobody should send: no exception, no hang, no more time, bounded memory."""

import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network import conversations, sides, tcp_watch, udp_watch
from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.protocols import arp, dhcp, http, industrial, quic, tls
from pipelines.network.sensor import watch
from pipelines.network.sightings import FILES, KINDS
from pipelines.network.tcp_watch import TcpWatch
from pipelines.network.tunnels import LAYERS
from pipelines.network.udp_watch import UdpWatch
from pipelines.parsers import pcap
from storage.errors import InvalidBatch
from tests.pipelines.network_frames import capture, mutants, tcp, udp
from tests.pipelines.test_network_http2 import watched
from tests.pipelines.test_network_tcp import record
from tests.shared import shared_data

WORDS = (
    "malformed", "evasion", "modbus", "dnp3", "s7", "enip", "quic", "tls12", "http__", "dhcp",
    "arp", "ssh", "dtls",
)  # fmt: skip
DTLS = Path(__file__).with_name("dtls_hellos.pcap")
IN_CI = 300
HELLO = bytes.fromhex("16030100c8010000c40303")
STARTS = (b"", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n")


def victims() -> list[Path]:
    """Give the captures that are broken: every category that is dissected, the small ones."""
    files = [DTLS, *sorted(shared_data("pcap").glob("*.pcap*"))]
    return [f for f in files if f.name.startswith(WORDS) and f.stat().st_size < 60_000]


def read(data: bytes) -> tuple[float, int]:
    """Read a capture to its end or its damage; give CPU-seconds and rows."""
    before, rows = time.process_time(), 0
    with suppress(InvalidBatch):
        for part in watch([data], others=(*KINDS, FILES)):
            rows += part.flows.height + len(part.dns) + len(part.others)
    return time.process_time() - before, rows


def suffer(count: int, seed: int) -> tuple[float, float, int]:
    """Read that many mutants; give the time per byte against the sound ones, the slowest, rows."""
    files = victims()
    sound_s = sound_bytes = broken_s = broken_bytes = slowest = 0.0
    rows = 0
    for number, file in enumerate(files):
        data = file.read_bytes()
        each = count // len(files) + (number < count % len(files))
        read(data)  # what is loaded on first use counts for nobody
        for mutant in mutants(data, each, seed + number):
            spent, _ = read(data)
            sound_s, sound_bytes = sound_s + spent, sound_bytes + len(data)
            spent, found = read(mutant)
            broken_s, broken_bytes = broken_s + spent, broken_bytes + len(mutant)
            slowest, rows = max(slowest, spent), rows + found
    return (broken_s / broken_bytes) / (sound_s / sound_bytes), slowest, rows


def test_some_hundred_mutants_are_read_without_an_error_or_a_hang() -> None:
    ratio, slowest, rows = suffer(IN_CI, seed=1)
    assert ratio < 2
    assert slowest < 2
    assert rows > IN_CI


@pytest.mark.parametrize("word", ["malformed", "evasion-frag"])
def test_the_captures_of_malformed_and_evasive_traffic_become_events(word: str) -> None:
    files = list(shared_data("pcap").glob(f"{word}__*"))
    assert len(files) >= 4
    for file in files:
        assert sum(p.frame.height for p in pcap.parse([file.read_bytes()])) > 0


@given(st.binary(max_size=400), st.sampled_from([b"", HELLO]))
@settings(max_examples=300, deadline=None)
def test_tls_of_any_bytes_is_a_hello_or_none(garbage: bytes, head: bytes) -> None:
    with suppress(ValueError):
        message = tls.cut_hello(head + garbage)
        if message is not None:
            tls.read_client(message)
            tls.read_server(message)
    tls.read_client(b"\x01\x00\x01\x00\x03\x03" + garbage)
    tls.read_server(b"\x02\x00\x01\x00\x03\x03" + garbage)


@given(st.binary(max_size=400), st.sampled_from(STARTS))
@settings(max_examples=300, deadline=None)
def test_http_of_any_bytes_is_a_head_or_none(garbage: bytes, head: bytes) -> None:
    with suppress(ValueError):
        read = http.read_head(head + garbage, is_all=True)
        assert read is None or read.size <= http.MAX_HEAD


@given(st.binary(max_size=300), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_dhcp_and_arp_of_any_bytes_are_messages_or_none(garbage: bytes, first: int) -> None:
    dhcp.read_message(bytes([first]) + bytes(235) + b"\x63\x82\x53\x63" + garbage)
    arp.read_message(b"\x00\x01\x08\x00\x06\x04" + garbage)


HEADS = {
    industrial.MODBUS_PORT: b"\0\1\0\0\0\6",
    industrial.DNP3_PORT: b"\x05\x64\x0a\xc4\1\0\2\0\0\0\xc0\xc0",
    industrial.S7_PORT: b"\3\0\0\x1f\2\xf0\x80\x32\1",
    industrial.ENIP_PORT: b"\x6f\0\x20\0" + bytes(26) + b"\2\0\0\0\0\0\xb2\0\x10\0\x0a\2",
}


@given(st.binary(max_size=300), st.sampled_from(sorted(HEADS)), st.booleans(), st.booleans())
@settings(max_examples=500, deadline=None)
def test_industrial_protocols_of_any_bytes_are_cut_to_less(
    garbage: bytes, port: int, headed: bool, from_server: bool
) -> None:
    data = HEADS[port] + garbage if headed else garbage
    found, rest = industrial.CUTTERS[port](data, from_server=from_server)
    assert len(rest) <= len(data)
    assert len(found) <= 2 + len(data) // 2


@given(st.binary(max_size=300), st.binary(min_size=20, max_size=200))
@settings(max_examples=200, deadline=None)
def test_quic_of_any_bytes_is_opened_or_not(garbage: bytes, frames: bytes) -> None:
    head = b"\xc3\0\0\0\1\4abcd\0\0"
    for packet in quic.initials(head + garbage):
        quic.opened(head + garbage, packet, quic.client_keys(1, b"abcd"))
    crypto = quic.Crypto()
    for offset, piece in quic.crypto_frames(frames):
        crypto.add(offset, piece)
    crypto.message()


def records(message: bytes, size: int) -> bytes:
    """Begin a handshake message of that size, in records of a byte each."""
    begun = message[:1] + (size - 4).to_bytes(3, "big") + message[4:] + bytes(2_900 - len(message))
    head = b"\x16\3\3\0\4" + begun[:4]
    return head + b"".join(b"\x16\3\3\0\1" + bytes([byte]) for byte in begun[4:])


CHAIN = b"\x0b\0\0\0" + (15_993).to_bytes(3, "big") + (15_000).to_bytes(3, "big")
SERVER = b"\x16\3\3\0\x2a\2\0\0\x26\3\3" + bytes(33) + b"\xc0\x2f\0"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(records(b"\1\0\0\0\3\3", 15_900), id="hello"),
        pytest.param(SERVER + records(CHAIN, 16_000), id="certificates"),
        pytest.param(b"GET /" + b"a" * 16_000, id="head"),
    ],
)
def test_a_message_in_tiny_pieces_is_not_read_anew_with_each(sent: bytes) -> None:
    # Twenty times a datagram of that size; it was a hundred (the head) to 1,600 times.
    pieces = [sent[:60], *(sent[at : at + 10] for at in range(60, len(sent), 10))]
    places = [0, *range(60, len(sent), 10)]
    frames = [tcp(piece, dport=443, seq=1 + at) for piece, at in zip(pieces, places, strict=True)]
    flood, plain = capture(frames), capture([udp(b"x" * 20)] * len(frames))
    spent = [(read(flood)[0], read(plain)[0]) for _ in range(3)]
    assert min(s for s, _ in spent) < 60 * min(s for _, s in spent)


def vast_hello(number: int) -> bytes:
    """Offer 7,000 ciphers, other ones for each number."""
    ciphers = b"".join(struct.pack(">H", 0x1000 + n + number) for n in range(7_000))
    body = b"\3\3" + bytes(33) + struct.pack(">H", len(ciphers)) + ciphers + b"\1\0"
    return record(b"\1" + len(body).to_bytes(3, "big") + body)


def test_of_a_hello_without_an_answer_only_its_row_is_held() -> None:
    # As the lists of its numbers it takes 280 KB, and as much again in the fingerprints' memory.
    watcher, now, _ = watched(map(vast_hello, range(60)))
    assert len(watcher) == 60
    assert now < watcher.held_bytes + 60 * 4_096
    assert watcher.held_bytes < 60 * 4_096


def test_unfinished_messages_of_many_connections_are_bounded_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp_watch, "MAX_CONVERSATIONS", 50)
    monkeypatch.setattr(tcp_watch, "MAX_HELD", 20_000)
    watcher = TcpWatch()
    begun = b"GET /" + b"x" * 900
    for block in read_packets([capture(tcp(begun, sport=p) for p in range(1_000, 1_400))]):
        list(watcher.find(block, read_headers(block, LAYERS)))
    assert len(watcher) <= 50
    assert watcher.held_bytes <= 20_000
    assert watcher.evicted >= 350


def test_one_connection_that_never_finishes_holds_little() -> None:
    watcher = TcpWatch()
    size = 1_000
    frames = [tcp(b"GET /" + b"x" * size, seq=0)]
    # Segments far and near, but never the missing one.
    frames += [tcp(b"x" * size, seq=5 + size * (n + 3)) for n in range(2_000)]
    for block in read_packets([capture(frames)]):
        list(watcher.find(block, read_headers(block, LAYERS)))
    assert watcher.held_bytes < (conversations.MAX_EARLY + 2) * size + sides.MAX_WAITING


def test_quic_connections_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_watch, "MAX_QUIC", 20)
    watcher = UdpWatch()
    initial = b"\xc3\0\0\0\1\4abcd\0\0\x40\x80" + bytes(1_200)
    for block in read_packets([capture(udp(initial, sport=p) for p in range(1_000, 1_100))]):
        list(watcher.find(block, read_headers(block, LAYERS)))
    assert len(watcher) <= 20
    assert watcher.evicted == 80


def test_every_kind_of_row_is_made_of_the_shared_captures() -> None:
    found = {
        row.kind
        for file in victims()
        for part in watch([file.read_bytes()], flows=False, dns=False)
        for row in part.others
    }
    assert found == set(KINDS)
