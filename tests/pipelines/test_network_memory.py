"""See that all buffers of the sensor together stay under their bound, whatever is begun."""

import struct
import tracemalloc
from collections.abc import Iterator
from itertools import islice

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.network import conversations, reassembly, sensor, streams, tcp_watch, udp_watch
from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.protocols import quic
from pipelines.network.sensor import Readers
from pipelines.network.sightings import KINDS, ends_between
from pipelines.network.tunnels import LAYERS
from tests.pipelines.network_frames import capture, fragment, tcp, udp

SHARES = [
    (tcp_watch, "MAX_HELD", conversations.MAX_HELD),
    (udp_watch, "MAX_QUIC_BYTES", udp_watch.MAX_QUIC_BYTES),
    (udp_watch, "MAX_DTLS_BYTES", udp_watch.MAX_DTLS_BYTES),
    (streams, "MAX_ALL_BYTES", streams.MAX_ALL_BYTES),
    (reassembly, "MAX_HELD_BYTES", reassembly.MAX_HELD_BYTES),
]
PART = 64


def initial(number: int, frames: bytes) -> bytes:
    """Seal frames in a client's first packet."""
    destination = struct.pack(">Q", number)
    keys = quic.client_keys(1, destination)
    payload = frames + bytes(max(0, 1_200 - len(frames)))
    head = (
        b"\xc0\0\0\0\1\x08" + destination + b"\0\0" + struct.pack(">H", 0x4000 | len(payload) + 17)
    )
    plain = head + b"\1"
    nonce = int.from_bytes(keys.iv, "big") ^ 1
    sealed = AESGCM(keys.key).encrypt(nonce.to_bytes(12, "big"), payload, plain)
    cipher = Cipher(algorithms.AES(keys.head), modes.ECB())  # noqa: S305  the protocol's own
    mask = cipher.encryptor().update(sealed[3:19])
    return bytes([head[0] ^ mask[0] & 15]) + head[1:] + bytes([1 ^ mask[1]]) + sealed


def begun_quic(number: int) -> bytes:
    """Begin a hello of 16 KB in a hundred frames of a few bytes."""
    frames = b"".join(
        b"\6" + struct.pack(">H", 0x4000 | 100 + 12 * n) + b"\x08" + struct.pack(">Q", number)
        for n in range(98)
    )
    return udp(initial(number, frames), sport=1_024 + number)


def begun_dtls(number: int) -> bytes:
    """Begin a hello of 16 KB."""
    part = b"\1" + (16_000).to_bytes(3, "big") + b"\0\0\0\0\0" + (1_100).to_bytes(3, "big")
    record = part + struct.pack(">I", number) * 275
    head = b"\x16\xfe\xfd" + bytes(8) + struct.pack(">H", len(record))
    return udp(head + record, sport=1_024 + number)


def begun(kind: str) -> Iterator[bytes]:
    """Begin ever more messages of a kind and finish none."""
    for number in range(60_000):
        filler = struct.pack(">I", number) * 300
        if kind == "head":
            yield tcp(b"GET /" + filler, sport=1_024 + number)
        elif kind == "dns":
            yield tcp(b"\xff\xff" + filler, sport=1_024 + number % 60_000, dport=53)
        elif kind == "fragment":
            yield fragment(number, 0, filler, more=True)
        else:
            yield begun_quic(number) if kind == "quic" else begun_dtls(number)


def held_after(readers: Readers, frames: Iterator[bytes]) -> int:
    """Read frames; give the bytes that the readers say they hold at most."""
    most = 0
    for block in read_packets([capture(frames)], block_bytes=100_000):
        readers.read(block, read_headers(block, LAYERS))
        most = max(most, readers.held_bytes)
    return most


def test_all_buffers_together_stay_under_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, share in SHARES:
        monkeypatch.setattr(module, name, share // PART)
    bound = sensor.MAX_HELD_BYTES // PART
    kinds = ("head", "quic", "dtls", "dns", "fragment")
    warm, readers = Readers(KINDS, dns=True), Readers(KINDS, dns=True)
    for kind in kinds:
        held_after(warm, islice(begun(kind), 3))
    floods = [list(islice(begun(kind), 700)) for kind in kinds]
    ends_between.cache_clear()
    tracemalloc.start()
    try:
        before, most = tracemalloc.get_traced_memory()[0], 0
        for frames in floods:
            most = max(most, held_after(readers, iter(frames)))
        ends_between.cache_clear()  # as large whatever comes: 2,048 pairs of ends
        now = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert most <= bound
    # All shares are full by now.
    assert readers.held_bytes > 0.85 * bound
    assert now < 1.1 * bound
    assert readers.evicted > 1_000


def test_the_shares_are_all_that_is_held() -> None:
    assert sum(share for _, _, share in SHARES) == sensor.MAX_HELD_BYTES <= 84 << 20
