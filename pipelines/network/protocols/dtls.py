"""Cut hellos out of DTLS datagrams (RFC 6347, 9147), in the form that TLS has over TCP."""

from struct import Struct
from typing import Final, NamedTuple

from pipelines.network.protocols.tls import CLIENT_HELLO, MAX_MESSAGE, SERVER_HELLO

__all__ = ["CLIENT_HELLO", "SERVER_HELLO", "VERSIONS", "Hello", "Piece", "pieces"]

VERSIONS: Final = (0xFEFF, 0xFEFD, 0x0100)
"""Of the record: DTLS 1.0, 1.2 (1.3 too), and Cisco's early one."""
MAX_RECORDS: Final = 8
MAX_PIECES: Final = 16
PIECE_COST: Final = 160
"""Bytes of memory that a fragment takes beside its data."""
_HANDSHAKE: Final = 22
_HELLOS: Final = (CLIENT_HELLO, SERVER_HELLO)
_heads: Final = Struct(">BHHHIHBBHHBHBH").unpack_from
"""Of the record, then of the handshake message; numbers of three bytes are a byte and two."""


class Piece(NamedTuple):
    """Hold a fragment of a hello: its kind, the message's number and size, and its place."""

    kind: int
    number: int
    size: int
    offset: int
    data: bytes


def pieces(datagram: bytes) -> list[Piece]:
    """Give the fragments of hellos in a datagram's records that are in the clear (epoch 0)."""
    found: list[Piece] = []
    at = 0
    for _ in range(MAX_RECORDS):
        if len(datagram) - at < 25:
            break
        (
            record, version, epoch, _, _, length, kind, high, size, number, offset_high, offset,
            part_high, part,
        ) = _heads(datagram, at)  # fmt: skip
        end = at + 13 + length
        if record != _HANDSHAKE or epoch or version not in VERSIONS or end > len(datagram):
            break
        size, offset, part = high << 16 | size, offset_high << 16 | offset, part_high << 16 | part
        fits = offset + part <= size <= MAX_MESSAGE and at + 25 + part <= end
        # Of pieces so small (but the last) no hello would ever be whole.
        if fits and kind in _HELLOS and (part * MAX_PIECES >= size or offset + part == size):
            found.append(Piece(kind, number, size, offset, datagram[at + 25 : at + 25 + part]))
        at = end
    return found


class Hello:
    """Put the fragments of one side's newest hello together."""

    __slots__ = ("_number", "_parts", "held_bytes")

    def __init__(self) -> None:
        """Begin with nothing; `held_bytes`: what the fragments take in memory."""
        self._number, self._parts = -1, dict[int, bytes]()
        self.held_bytes = 0

    def add(self, piece: Piece) -> bytes | None:
        """Take a fragment; give the message, as over TCP, once it is whole."""
        if piece.number != self._number:
            self._number, self._parts, self.held_bytes = piece.number, {}, 0
        if len(self._parts) < MAX_PIECES and piece.offset not in self._parts:
            self._parts[piece.offset] = piece.data
            self.held_bytes += len(piece.data) + PIECE_COST
        if sum(map(len, self._parts.values())) < piece.size:
            return None
        whole = b""
        for offset, data in sorted(self._parts.items()):
            if offset > len(whole):
                return None
            whole += data[len(whole) - offset :]
        if len(whole) < piece.size:
            return None
        self._parts, self.held_bytes = {}, 0
        return _as_tls(piece.kind, whole)


def _as_tls(kind: int, body: bytes) -> bytes:
    """Take the cookie out of a client's hello, which is what DTLS has and TLS has not."""
    if kind == CLIENT_HELLO and len(body) > 35:
        at = 35 + body[34]
        if at < len(body):
            body = body[:at] + body[at + 1 + body[at] :]
    return bytes([kind]) + len(body).to_bytes(3, "big") + body
