"""Read HTTP/2's compressed header fields (HPACK, RFC 7541), within bounds.

The Huffman code of appendix B is canonical: the lengths of the codes say all of it. A decoder of
one direction must see each of its header blocks in order; after an error it knows nothing more.
"""

from collections import deque
from functools import lru_cache
from typing import Final

MAX_TABLE: Final = 65_536
"""Bytes of the dynamic table that a side may have, 32 more for each field in it."""
MAX_LIST: Final = 65_536
"""Bytes of all fields of one block."""
MAX_KNOWN: Final = 1_024
"""Texts whose unpacking is kept: the same paths and programs come again and again."""
_FIRST_TABLE: Final = 4_096

Field = tuple[bytes, bytes]

_STATIC: Final[tuple[Field, ...]] = (
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"),
    (b":path", b"/index.html"), (b":scheme", b"http"), (b":scheme", b"https"),
    *((b":status", code) for code in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    (b"accept-charset", b""), (b"accept-encoding", b"gzip, deflate"),
    *((name, b"") for name in (
        b"accept-language", b"accept-ranges", b"accept", b"access-control-allow-origin", b"age",
        b"allow", b"authorization", b"cache-control", b"content-disposition", b"content-encoding",
        b"content-language", b"content-length", b"content-location", b"content-range",
        b"content-type", b"cookie", b"date", b"etag", b"expect", b"expires", b"from", b"host",
        b"if-match", b"if-modified-since", b"if-none-match", b"if-range", b"if-unmodified-since",
        b"last-modified", b"link", b"location", b"max-forwards", b"proxy-authenticate",
        b"proxy-authorization", b"range", b"referer", b"refresh", b"retry-after", b"server",
        b"set-cookie", b"strict-transport-security", b"transfer-encoding", b"user-agent", b"vary",
        b"via", b"www-authenticate",
    )),
)  # fmt: skip

# Length of the code: the bytes that have one so long, in order.
_CODES: Final = {
    5: b"012aceiost", 6: b" %-./3456789=A_bdfghlmnpru", 7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ", 10: b'!"()?', 11: b"'+|", 12: b"#>", 13: b"\0$@[]~", 14: b"^}", 15: b"<`{",
    19: b"\\\xc3\xd0", 20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: bytes.fromhex("99a1a7acb0b1b3d1d8d9e3e5e6"),
    22: bytes.fromhex("8184858688929a9ca0a3a4a9aaadb2b5b9babbbdbec4c6e4e8e9"),
    23: bytes.fromhex("0187898a8b8c8d8f93959697989b9d9ea5a6a8aeafb4b6b7bcbfc5e7ef"),
    24: bytes.fromhex("098e9091949fabced7e1eced"), 25: bytes.fromhex("c7cfeaeb"),
    26: bytes.fromhex("c0c1c8c9cacdd2d5dadbeef0f2f3ff"),
    27: bytes.fromhex("cbccd3d4d6dddedff1f4f5f6f7f8fafbfcfdfe"),
    28: bytes.fromhex("02030405060708" "0b0c0e0f1011121314151718191a1b1c1d1e1f7fdcf9"),
    30: b"\n\r\x16",
}  # fmt: skip


def _limits() -> tuple[tuple[int, int, int, bytes], ...]:
    """Give of each length: the length, the 30-bit value behind its codes, its first code."""
    found, code, before = [], 0, 0
    for length, symbols in _CODES.items():
        code <<= length - before
        found.append((length, (code + len(symbols)) << (30 - length), code, symbols))
        code, before = code + len(symbols), length
    return tuple(found)


_LIMITS: Final = _limits()
_ONES: Final = (1 << 32, 0, 0, b"")
"""Instead of a code: what is ahead is padding, or no code at all."""


def _short() -> list[tuple[int, int]]:
    """Give length and byte of the code with which each of the 256 next eight bits begin."""
    found = [(0, 0)] * 256
    for length, _, first, symbols in _LIMITS:
        for number, symbol in enumerate(symbols) if length <= 8 else ():
            at = (first + number) << (8 - length)
            found[at : at + (1 << (8 - length))] = [(length, symbol)] * (1 << (8 - length))
    return found


_SHORT: Final = _short()


@lru_cache(maxsize=MAX_KNOWN)
def unpacked(data: bytes) -> bytes:
    """Undo the Huffman code; ValueError where the bytes are none.

    >>> unpacked(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"))
    b'www.example.com'
    """
    bits = int.from_bytes(data, "big") << 30 | (1 << 30) - 1  # what is behind the end are ones
    left = 8 * len(data)
    out = bytearray()
    while left > 0:
        length, symbol = _SHORT[bits >> left + 22 & 0xFF]
        if not length:
            ahead = bits >> left & 0x3FFFFFFF
            length, _, first, symbols = next((one for one in _LIMITS if ahead < one[1]), _ONES)
            symbol = symbols[(ahead >> (30 - length)) - first] if length <= left else 0
        if length > left:
            if left > 7 or (bits >> 30 & (1 << left) - 1) != (1 << left) - 1:
                raise ValueError("the end is no padding")
            break
        out.append(symbol)
        left -= length
    return bytes(out)


class HpackReader:
    """Read the header blocks of one direction, in order."""

    __slots__ = ("_limit", "_size", "_table")

    def __init__(self) -> None:
        """Begin with an empty table."""
        self._table: deque[Field] = deque()
        self._size = 0
        self._limit = _FIRST_TABLE

    @property
    def size(self) -> int:
        """Give the bytes that the table holds, as the standard counts them."""
        return self._size

    def read(self, block: bytes) -> list[Field]:
        """Give a block's fields; ValueError where it is none, or breaks a bound."""
        found: list[Field] = []
        at = total = 0
        while at < len(block):
            first = block[at]
            if first >= 0x80:
                number, at = _number(block, at, 7)
                field = self._known(number)
            elif first & 0xE0 == 0x20:
                size, at = _number(block, at, 5)
                self._resize(size)
                continue
            else:
                is_kept = first >= 0x40
                number, at = _number(block, at, 6 if is_kept else 4)
                name, at = (self._known(number)[0], at) if number else _string(block, at)
                value, at = _string(block, at)
                field = name, value
                if is_kept:
                    self._keep(field)
            total += len(field[0]) + len(field[1]) + 32
            if total > MAX_LIST:
                raise ValueError("a block of too many header fields")
            found.append(field)
        return found

    def _known(self, number: int) -> Field:
        if 0 < number <= len(_STATIC):
            return _STATIC[number - 1]
        if not 0 < number - len(_STATIC) <= len(self._table):
            raise ValueError("a header field that nobody told")
        return self._table[number - len(_STATIC) - 1]

    def _keep(self, field: Field) -> None:
        self._table.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + 32
        self._shrink()

    def _resize(self, size: int) -> None:
        if size > MAX_TABLE:
            raise ValueError("the table is to be too large")
        self._limit = size
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + 32


def _number(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Read an integer whose first bits stand in the low bits of a byte; at most four more bytes."""
    most = (1 << bits) - 1
    value, at = data[at] & most, at + 1
    if value < most:
        return value, at
    for place in range(0, 28, 7):
        if at >= len(data):
            break
        value += (data[at] & 0x7F) << place
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("a number without end")


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(data):
        raise ValueError("a field is cut off")
    is_packed = data[at] >= 0x80
    size, at = _number(data, at, 7)
    text = data[at : at + size]
    if len(text) < size:
        raise ValueError("a field is cut off")
    return unpacked(text) if is_packed else text, at + size
