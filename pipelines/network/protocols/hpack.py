"""Read HTTP/2's compressed header fields (HPACK, RFC 7541), within bounds.

The Huffman code of appendix B is canonical: the lengths of the codes say all of it. A decoder of
one direction must see each of its header blocks in order; after an error it knows nothing more.
"""

import re
from collections import deque
from functools import lru_cache
from sys import getsizeof
from typing import Any, Final, NamedTuple

MAX_TABLE: Final = 65_536
"""Bytes of the dynamic table that a side may have, 32 more for each field in it."""
MAX_LIST: Final = 65_536
"""Bytes of all fields of one block."""
MAX_TEXT: Final = 2_048
"""Bytes of a name or a value that are held; no more is told of it."""
FIELD_SIZE: Final = 32
"""What the standard counts for a field beside its texts."""
ENTRY_COST: Final = 320
"""Bytes of memory that a field in the table takes beside its texts."""
MAX_KNOWN: Final = 1_024
"""Texts whose unpacking is kept: the same paths and programs come again and again."""
MAX_SHORT: Final = 256
"""Bytes of a text whose unpacking is kept."""
_SLICE: Final = 512
_FIRST_TABLE: Final = 4_096

Field = tuple[str, str]

_STATIC: Final[tuple[Field, ...]] = (
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"),
    *((":status", code) for code in ("200", "204", "206", "304", "400", "404", "500")),
    ("accept-charset", ""), ("accept-encoding", "gzip, deflate"),
    *((name, "") for name in (
        "accept-language", "accept-ranges", "accept", "access-control-allow-origin", "age",
        "allow", "authorization", "cache-control", "content-disposition", "content-encoding",
        "content-language", "content-length", "content-location", "content-range",
        "content-type", "cookie", "date", "etag", "expect", "expires", "from", "host",
        "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
        "last-modified", "link", "location", "max-forwards", "proxy-authenticate",
        "proxy-authorization", "range", "referer", "refresh", "retry-after", "server",
        "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary",
        "via", "www-authenticate",
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


_FAILS: Final = 256
"""Instead of a node: no code begins so, but the one that must not occur."""


def _tree() -> list[list[int]]:
    """Give of each node of the code's tree its two followers; a symbol is below zero."""
    nodes, code, before = [[_FAILS, _FAILS]], 0, 0
    for length, symbols in _CODES.items():
        code <<= length - before
        before = length
        for symbol in symbols:
            node = 0
            for place in range(length - 1, 0, -1):
                if nodes[node][code >> place & 1] == _FAILS:
                    nodes[node][code >> place & 1] = len(nodes)
                    nodes.append([_FAILS, _FAILS])
                node = nodes[node][code >> place & 1]
            nodes[node][code & 1] = ~symbol
            code += 1
    return nodes


_TREE: Final = _tree()


_Node = list[Any]
"""For each next byte the node behind it and the symbols that it ends, or None; then its number.

Steps are made as they are needed: text needs few of the 65,536 (some 8 MB).
"""


def _step(node: _Node, byte: int) -> tuple[_Node, bytes]:
    """Make a step that was not needed before; ValueError where no code goes on so."""
    number, out = node[_NUMBER], bytearray()
    for place in range(7, -1, -1):
        number = _TREE[number][byte >> place & 1]
        if number == _FAILS:
            raise ValueError("no such code")
        if number < 0:
            out.append(~number)
            number = 0
    step = node[byte] = _NODES[number], bytes(out)
    return step


_NUMBER: Final = 256
_NODES: Final[tuple[_Node, ...]] = tuple(
    [*[None] * _NUMBER, number] for number in range(len(_TREE))
)


def _padding() -> frozenset[int]:
    """Give the nodes at which a text may end: at a code's end, or behind up to seven ones."""
    found = [0]
    for _ in range(7):
        found.append(_TREE[found[-1]][1])
    return frozenset(found)


_PADDING: Final = _padding()


def unpacked(data: bytes, most: int = MAX_LIST) -> bytes:
    """Undo the Huffman code; ValueError where the bytes are none.

    Of a text longer than `most` the beginning, at least `most` bytes of it: the rest is not read.

    >>> unpacked(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"))
    b'www.example.com'
    """
    out: list[bytes] = []
    add, node = out.append, _NODES[0]
    for begin in range(0, len(data), _SLICE):
        rest = iter(data[begin : begin + _SLICE])
        while True:
            byte = 0
            try:
                for byte in rest:
                    node, symbols = node[byte]
                    add(symbols)
                break
            except TypeError:
                node, symbols = _step(node, byte)
                add(symbols)
        out[:] = (b"".join(out),)
        if len(out[0]) > most:
            return out[0]
    if node[_NUMBER] not in _PADDING:
        raise ValueError("the end is no padding")
    return b"".join(out)


class _Text(NamedTuple):
    """Hold the beginning of a text, and the bytes that it has, or more than the limit."""

    text: str
    size: int


@lru_cache(maxsize=MAX_KNOWN)
def _short_text(data: bytes) -> _Text:
    return _text(unpacked(data))


def _text(data: bytes) -> _Text:
    return _Text(data[:MAX_TEXT].decode("utf-8", "replace"), len(data))


_STATIC_TEXTS: Final = tuple(
    (_Text(name, len(name)), _Text(value, len(value))) for name, value in _STATIC
)


class _Entry(NamedTuple):
    """Hold a field of the table: `size` as the standard counts it, `held` in memory."""

    name: _Text
    value: _Text
    size: int
    held: int


class HpackReader:
    """Read the header blocks of one direction, in order.

    A field that is told once and named a thousand times is one text in memory.
    """

    __slots__ = ("_limit", "_size", "_table", "held_bytes", "literals")

    def __init__(self) -> None:
        """Begin with an empty table; `held_bytes`: what it takes in memory."""
        self._table: deque[_Entry] = deque()
        self._size = self.held_bytes = self.literals = 0
        self._limit = _FIRST_TABLE

    @property
    def size(self) -> int:
        """Give the bytes that the table holds, as the standard counts them."""
        return self._size

    def read(self, block: bytes) -> list[Field]:
        """Give a block's fields, cut at MAX_TEXT; ValueError where it is none or breaks a bound.

        Of fields that are named alone, one byte each and many in a row, each is given once.
        `literals` then counts the block's other fields.
        """
        found: list[Field] = []
        at = total = self.literals = 0
        while at < len(block):
            first = block[at]
            if first >= 0x80:
                named, at = _run(block, at) if first < 0xFF else (b"", at)
                if not named:
                    number, at = _number(block, at, 7)
                    total += self._named(number, 1, found)
                for byte in named if len(named) < _MANY else dict.fromkeys(named):
                    times = 1 if len(named) < _MANY else named.count(byte)
                    total += self._named(byte & 0x7F, times, found)
            elif first & 0xE0 == 0x20:
                size, at = _number(block, at, 5)
                if found:
                    raise ValueError("the table's size is changed in the middle")
                self._resize(size)
            else:
                name, value, at = self._literal(block, at, first)
                total += name.size + value.size + FIELD_SIZE
                found.append((name.text, value.text))
            if total > MAX_LIST:
                raise ValueError("a block of too many header fields")
        return found

    def _literal(self, block: bytes, at: int, first: int) -> tuple[_Text, _Text, int]:
        """Read a field whose value stands there; give it, and where the next begins."""
        self.literals += 1
        is_kept = first >= 0x40
        # What is longer than the table is not kept in it: to know that it is will do.
        most = max(self._limit, MAX_TEXT) if is_kept else MAX_TEXT
        number, at = _number(block, at, 6 if is_kept else 4)
        name, at = (self._known(number)[0], at) if number else _string(block, at, most)
        value, at = _string(block, at, most)
        if is_kept:
            self._keep(name, value)
        return name, value, at

    def _named(self, number: int, times: int, found: list[Field]) -> int:
        """Take a field by its number; give what the standard counts for it."""
        name, value = self._known(number)
        found.append((name.text, value.text))
        return times * (name.size + value.size + FIELD_SIZE)

    def _known(self, number: int) -> tuple[_Text, _Text]:
        if 0 < number <= len(_STATIC):
            return _STATIC_TEXTS[number - 1]
        if not 0 < number - len(_STATIC) <= len(self._table):
            raise ValueError("a header field that nobody told")
        return self._table[number - len(_STATIC) - 1][:2]

    def _keep(self, name: _Text, value: _Text) -> None:
        size = name.size + value.size + FIELD_SIZE
        held = ENTRY_COST + getsizeof(name.text) + getsizeof(value.text)
        self._table.appendleft(_Entry(name, value, size, held))
        self._size += size
        self.held_bytes += held
        self._shrink()

    def _resize(self, size: int) -> None:
        if size > MAX_TABLE:
            raise ValueError("the table is to be too large")
        self._limit = size
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self._limit:
            gone = self._table.pop()
            self._size -= gone.size
            self.held_bytes -= gone.held


_NAMED: Final = re.compile(rb"[\x80-\xfe]+")
_MANY: Final = 16


def _run(block: bytes, at: int) -> tuple[bytes, int]:
    """Give the fields in a row that are named by one byte each, and where the next begins."""
    told = _NAMED.match(block, at)
    return (told.group(), told.end()) if told else (b"", at)


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


def _string(data: bytes, at: int, most: int) -> tuple[_Text, int]:
    """Read a text, at least `most` bytes of it; give where the next begins."""
    if at >= len(data):
        raise ValueError("a field is cut off")
    is_packed = data[at] >= 0x80
    size, at = _number(data, at, 7)
    text = data[at : at + size]
    if len(text) < size:
        raise ValueError("a field is cut off")
    if not is_packed:
        return _text(text), at + size
    return _short_text(text) if size <= MAX_SHORT else _text(unpacked(text, most)), at + size
