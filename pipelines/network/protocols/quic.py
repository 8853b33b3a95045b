"""Open QUIC Initial packets, whose keys follow from what they show (RFC 9001, 9369).

Keys come from the first destination connection id that a client uses; both directions have their
own. Nothing later than the Initial packets can be read by anybody on the way.
"""

import hmac
from collections.abc import Iterator
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_PACKETS: Final = 4
"""Coalesced packets that are looked at in one datagram."""
LEAST_DATAGRAM: Final = 1_200
"""What a client's first datagram must have; a server drops a smaller one (RFC 9000, 14.1)."""
MAX_FRAMES: Final = 512
MAX_CRYPTO: Final = 16_384
PIECE_COST: Final = 160
"""Bytes of memory that a frame takes beside its data."""

_V1, _V2 = 0x00000001, 0x6B3343CF
_SALT_1: Final = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
_SALT_2: Final = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
_SALT_29: Final = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")
_SALT_23: Final = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")
_SALTS: Final = {
    _V1: _SALT_1, _V2: _SALT_2,
    0xFACEB002: _SALT_23, 0xFACEB00E: _SALT_23, 0xFACEB00F: _SALT_23, 0xFACEB010: _SALT_23,
    **{0xFF000000 + n: _SALT_23 for n in range(23, 29)},
    **{0xFF000000 + n: _SALT_29 for n in range(29, 35)},
}  # fmt: skip
VERSIONS: Final = tuple(_SALTS)


class Keys(NamedTuple):
    """Hold what opens one direction's Initial packets."""

    key: bytes
    iv: bytes
    head: bytes


class Initial(NamedTuple):
    """Hold an Initial packet as it lies in a datagram."""

    version: int
    destination: bytes
    start: int
    number: int
    end: int
    """`start` of its head, `number`: where the packet number lies, `end` of its payload."""

    @property
    def own(self) -> tuple[int, bytes]:
        """Give what the client's keys are made of."""
        return self.version, self.destination


def client_keys(version: int, destination: bytes) -> Keys:
    """Derive the client's keys from its first destination id."""
    return _keys(version, destination, b"client in")


def server_keys(version: int, destination: bytes) -> Keys:
    """Derive the server's keys, from the same id."""
    return _keys(version, destination, b"server in")


def _keys(version: int, destination: bytes, side: bytes) -> Keys:
    secret = _expand(hmac.digest(_SALTS[version], destination, "sha256"), side, 32)
    word = b"quicv2" if version == _V2 else b"quic"
    return Keys(
        _expand(secret, word + b" key", 16),
        _expand(secret, word + b" iv", 12),
        _expand(secret, word + b" hp", 16),
    )


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """Do HKDF-Expand-Label (RFC 8446, 7.1) for one block of output."""
    name = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(name)]) + name + b"\0"
    return hmac.digest(secret, info + b"\x01", "sha256")[:size]


def initials(datagram: bytes) -> Iterator[Initial]:
    """Find the Initial packets at the beginning of a datagram, all to one destination id.

    What is for another one must be dropped by who receives it (RFC 9000, 12.2).
    """
    at = 0
    first = None
    for _ in range(MAX_PACKETS):
        if len(datagram) - at < 21 or datagram[at] & 0xC0 != 0xC0:
            return
        version = int.from_bytes(datagram[at + 1 : at + 5], "big")
        if version not in _SALTS:
            return
        size = datagram[at + 5]
        destination = datagram[at + 6 : at + 6 + size]
        behind = at + 6 + size
        if size > 20 or behind >= len(datagram) or first not in (None, destination):
            return
        first = destination
        behind += 1 + datagram[behind]
        kind = datagram[at] >> 4 & 3
        if kind != (1 if version == _V2 else 0):
            return  # Retry, or a packet whose keys nobody here has: what follows is no Initial
        token, behind = _number(datagram, behind)
        length, number = _number(datagram, behind + token)
        end = number + length
        if number + 20 > len(datagram) or end > len(datagram) or length < 20:
            return
        yield Initial(version, destination, at, number, end)
        at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a variable-length integer; past the end it is 0."""
    if at >= len(data):
        return 0, at
    size = 1 << (data[at] >> 6)
    value = int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1)
    return value, at + size


def opened(datagram: bytes, packet: Initial, keys: Keys) -> bytes | None:
    """Take off the protection of the head and open the payload; None where the keys are others."""
    sample = datagram[packet.number + 4 : packet.number + 20]
    # One block of AES as the mask over the head is what RFC 9001, 5.4.3 prescribes.
    cipher = Cipher(algorithms.AES(keys.head), modes.ECB())  # noqa: S305  the protocol's own
    mask = cipher.encryptor().update(sample)
    first = datagram[packet.start] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = bytes(
        a ^ b
        for a, b in zip(datagram[packet.number : packet.number + size], mask[1:], strict=False)
    )
    head = bytes([first]) + datagram[packet.start + 1 : packet.number] + number
    nonce = int.from_bytes(keys.iv, "big") ^ int.from_bytes(number, "big")
    try:
        return AESGCM(keys.key).decrypt(
            nonce.to_bytes(12, "big"), datagram[packet.number + size : packet.end], head
        )
    except InvalidTag:
        return None


def crypto_frames(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Give (offset, bytes) of the CRYPTO frames in an opened payload."""
    at = 0
    for _ in range(MAX_FRAMES):
        if payload[at : at + 1] == b"\0":  # padding, often a thousand bytes of it
            at = len(payload) - len(payload[at:].lstrip(b"\0"))
        if at >= len(payload):
            return
        kind, at = payload[at], at + 1
        if kind == 0x01:
            continue
        if kind in (0x02, 0x03):
            at = _behind_ack(payload, at, counts=kind == 0x03)
        elif kind == 0x06:
            offset, at = _number(payload, at)
            size, at = _number(payload, at)
            yield offset, payload[at : at + size]
            at += size
        else:
            return  # CONNECTION_CLOSE, or a frame that an Initial must not have


def _behind_ack(payload: bytes, at: int, *, counts: bool) -> int:
    _, at = _number(payload, at)
    _, at = _number(payload, at)
    ranges, at = _number(payload, at)
    _, at = _number(payload, at)
    for _ in range(min(2 * ranges, MAX_FRAMES)):
        _, at = _number(payload, at)
    for _ in range(3 if counts else 0):
        _, at = _number(payload, at)
    return at


class Crypto:
    """Put one direction's CRYPTO frames in order; at most MAX_CRYPTO bytes."""

    __slots__ = ("_pieces", "held_bytes")

    def __init__(self) -> None:
        """Begin with nothing; `held_bytes`: what the frames take in memory."""
        self._pieces: dict[int, bytes] = {}
        self.held_bytes = 0

    def add(self, offset: int, data: bytes) -> None:
        """Add a frame; what lies beyond the bound, or in too many pieces, is dropped."""
        if offset + len(data) <= MAX_CRYPTO and len(self._pieces) < MAX_FRAMES:
            known = self._pieces.get(offset)
            if known is None or len(data) > len(known):
                self._pieces[offset] = data
                self.held_bytes += len(data) + (PIECE_COST if known is None else -len(known))

    def forget(self) -> None:
        """Drop the frames: their message was read."""
        self._pieces, self.held_bytes = {}, 0

    def message(self) -> bytes | None:
        """Give the first handshake message if it is whole."""
        whole = b""
        for offset, data in sorted(self._pieces.items()):
            if offset > len(whole):
                break
            whole += data[len(whole) - offset :]
        if len(whole) < 4:
            return None
        size = 4 + int.from_bytes(whole[1:4], "big")
        return whole[:size] if len(whole) >= size else None
