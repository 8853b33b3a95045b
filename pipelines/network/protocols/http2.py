"""Read the requests and answers of clear-text HTTP/2 (RFC 9113) out of one connection's frames.

Of a frame with a body only its nine bytes of head are looked at; header blocks are read one and
all, since each may name fields of those before. Bounds: blocks of MAX_BLOCK bytes in MAX_PIECES
frames, texts of MAX_TEXT bytes; a side that breaks a bound or the format is not read any further.
"""

from typing import Final, NamedTuple

from pipelines.network.protocols.hpack import Field, HpackReader

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_BLOCK: Final = 16_384
MAX_PIECES: Final = 64
"""Frames over which a block may be spread: endless empty ones are an attack (CVE-2024-27316)."""
MAX_AHEAD: Final = 256
"""Header blocks, or short fields in them, that a side may send beyond what its bytes allow."""
LEAST_BYTES: Final = 16
"""Bytes of a stream, bodies included, for each block; every second literal field counts as one."""
FRAMES_COST: Final = 1_280
"""Bytes of memory that a side takes with nothing held."""

_HEAD: Final = 9
_HEADERS, _SETTINGS, _PROMISE, _CONTINUATION = 1, 4, 5, 9
_BLOCKS: Final = (_HEADERS, _PROMISE, _CONTINUATION)
_ENDS_BLOCK, _IS_PADDED, _HAS_PRIORITY = 0x04, 0x08, 0x20


class Block(NamedTuple):
    """Hold what a header block says: a request has `method`, an answer has `status`."""

    stream: int
    method: str | None
    uri: str | None
    host: str | None
    user_agent: str | None
    status: int | None


def begins_with_settings(data: bytes) -> bool:
    """Tell whether bytes may be the SETTINGS with which a server begins; 9 bytes suffice."""
    begun = data[:_HEAD]
    return (
        len(begun) == _HEAD
        and begun[:2] == b"\0\0"
        and begun[2] % 6 == 0
        and begun[3:] == b"\x04\0\0\0\0\0"
    )


class Frames:
    """Read one side's frames, piece by piece and in order."""

    __slots__ = ("_ahead", "_begun", "_fields", "_pieces", "_preface", "_stream")

    def __init__(self) -> None:
        """Begin before the first frame, or the client's preface."""
        self._fields = HpackReader()
        self._ahead = MAX_AHEAD
        self._begun: bytearray | None = None
        self._pieces = 0
        self._stream = 0
        self._preface = True

    @property
    def held_bytes(self) -> int:
        """Give the bytes that this side's table and its unfinished block take."""
        return FRAMES_COST + self._fields.held_bytes + len(self._begun or b"")

    def take(self, data: bytes) -> tuple[list[Block], int]:
        """Give the blocks of the whole frames, and where the next frame begins.

        That place may lie behind the data: what is before it is of no interest. ValueError where
        the bytes are no frames.
        """
        found: list[Block] = []
        at = 0
        if self._preface and data[:1] == PREFACE[:1]:
            if len(data) < len(PREFACE):
                return found, 0
            at = len(PREFACE)
        self._preface = False
        while len(data) - at >= _HEAD:
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            end = at + _HEAD + size
            if kind in _BLOCKS:
                if size > MAX_BLOCK:
                    raise ValueError("a header block is too long")
                if end > len(data):
                    break
                stream = int.from_bytes(data[at + 5 : at + _HEAD], "big") & 0x7FFFFFFF
                block = self._block(kind, flags, stream, data[at + _HEAD : end])
                if block is not None:
                    found.append(block)
                if self._ahead + at // LEAST_BYTES < 0:
                    raise ValueError("more header blocks than a client has use for")
            elif self._begun is not None:
                raise ValueError("a header block is not ended")
            at = end
        self._ahead = min(self._ahead + 4 + at // LEAST_BYTES, MAX_AHEAD)
        return found, at

    def _block(self, kind: int, flags: int, stream: int, data: bytes) -> Block | None:
        """Take a piece of a block; give what it says when it is whole."""
        if (kind == _CONTINUATION) != (self._begun is not None):
            raise ValueError("a header block begins in the middle")
        if self._begun is not None:
            self._begun += data
            self._ahead -= 1
        else:
            if flags & _IS_PADDED:
                data = data[1 : max(len(data) - data[0], 1)] if data else b""
            if kind == _PROMISE:
                stream, data = int.from_bytes(data[:4], "big") & 0x7FFFFFFF, data[4:]
            elif flags & _HAS_PRIORITY:
                data = data[5:]
            self._stream, self._pieces = stream, 0
            self._begun = bytearray(data)
        self._pieces += 1
        if len(self._begun) > MAX_BLOCK or self._pieces > MAX_PIECES:
            raise ValueError("a header block is too long")
        if not flags & _ENDS_BLOCK:
            return None
        whole, self._begun = bytes(self._begun), None
        fields = self._fields.read(whole)
        self._ahead -= 1 + self._fields.literals // 2
        return _said(self._stream, fields)


def _said(stream: int, fields: list[Field]) -> Block | None:
    """Give a request or an answer; trailer fields are neither."""
    said: dict[str, str] = {}
    for name, value in fields:
        said.setdefault(name, value)
    method, status = said.get(":method"), said.get(":status", "")
    host = said.get(":authority") or said.get("host")
    if method is not None:
        path, agent = said.get(":path"), said.get("user-agent")
        return Block(stream, method, path or host, host, agent, None)
    if len(status) == 3 and status.isascii() and status.isdigit():
        return Block(stream, None, None, None, None, int(status))
    return None
