"""Read one DNS message: what was asked, what was answered.

Sources: RFC 1035 (messages, compression), 3596 (AAAA), 2782 (SRV), 6762 (mDNS), 9460 (SVCB).
Every loop is bounded: a name follows at most 64 pointers, each to an earlier place, and has at
most 255 bytes; a message gives at most MAX_ANSWERS answers.
"""

import codecs
import socket
import struct
from typing import Final, NamedTuple

from pipelines.network.names import dns_code, dns_type

MAX_ANSWERS: Final = 256
_MAX_NAME: Final = 255
_MAX_POINTERS: Final = 64
_MAX_QUESTIONS: Final = 64
_MAX_RECORDS: Final = 1_024
_QUESTION: Final = b"\xc0\x0c"
_OPCODES: Final = frozenset((0, 1, 2, 4, 5, 6))

_CLAIMED: Final = bytes(
    0 if b < 0xC0 else 1 if b < 0xE0 else 2 if b < 0xF0 else 3 if b < 0xF8 else 4 if b < 0xFC else 5
    for b in range(256)
)
"""How many bytes should follow, by a UTF-8 sequence's first byte."""

_head = struct.Struct(">HHHHHH").unpack_from
_pair = struct.Struct(">HH").unpack_from
_short = struct.Struct(">H").unpack_from
_record = struct.Struct(">HHIH").unpack_from


class DnsMessage(NamedTuple):
    """Hold one message; `query` and `qtype` are None without a question, `rcode` in a query."""

    id: int
    is_response: bool
    query: str | None
    qtype: str | None
    answers: list[str]
    rcode: str | None


def read_message(data: bytes, *, is_cut: bool = False) -> DnsMessage | None:
    """Read one DNS message, or give None where the bytes are none.

    What follows a sound question may be cut off or garbage: the answers read so far count. With
    `is_cut` (the capture kept only the packet's beginning) id and flags suffice.

    >>> read_message(bytes.fromhex("1234010000010000000000000161026465000001 0001")).query
    'a.de'
    """
    if len(data) < 12:
        return _without_question(data) if is_cut else None
    number, flags, questions, answers, authorities, additional = _head(data)
    is_response = flags >= 0x8000
    if (flags >> 11) & 15 not in _OPCODES or questions > _MAX_QUESTIONS:
        return None
    if questions == 0 and not (is_response or answers or authorities or additional):
        return None
    at, query, qtype = 12, None, None
    for asked in range(questions):
        try:
            name, at = read_name(data, at)
            kind, _ = _pair(data, at)
        except (struct.error, IndexError, ValueError):
            if asked:
                break
            return _without_question(data) if is_cut else None
        at += 4
        if not asked:
            query, qtype = name, dns_type(kind)
    return DnsMessage(
        number,
        is_response,
        query,
        qtype,
        _answers(data, at, min(answers, MAX_ANSWERS)) if answers else [],
        dns_code(flags & 15) if is_response else None,
    )


def _without_question(data: bytes) -> DnsMessage | None:
    if len(data) < 4:
        return None
    number, flags = _pair(data)
    if (flags >> 11) & 15 not in _OPCODES or flags & 0x40:
        return None
    is_response = flags >= 0x8000
    return DnsMessage(
        number, is_response, None, None, [], dns_code(flags & 15) if is_response else None
    )


def is_exact_message(data: bytes) -> bool:
    """Tell whether the bytes are one whole message with one question, to the last byte.

    Strict, for places where other things than DNS are to be expected.
    """
    if len(data) < 17:
        return False
    _number, flags, questions, *records = _head(data)
    if questions != 1 or flags & 0x40 or (flags >> 11) & 15 not in _OPCODES:
        return False
    try:
        at = read_name(data, 12)[1] + 4
        for _ in range(min(sum(records), _MAX_RECORDS)):
            at = read_name(data, at)[1]
            at += 10 + _record(data, at)[3]
    except (struct.error, IndexError, ValueError):
        return False
    return at == len(data)


def read_name(data: bytes, at: int) -> tuple[str, int]:
    """Read a name and give it with the offset behind it; the root is '.'.

    Bytes are read as UTF-8 (mDNS), what is none becomes U+FFFD. ValueError or IndexError where
    the name is none: cut off, a pointer forward or in a circle, or longer than 255 bytes.
    """
    labels: list[bytes] = []
    behind, size, pointers = -1, 0, 0
    length = data[at]
    while length:
        if length < 64:
            size += length + 1
            label = data[at + 1 : at + 1 + length]
            if size > _MAX_NAME or len(label) < length:
                raise ValueError("a name is too long, or cut off")
            labels.append(label)
            at += length + 1
        elif length >= 0xC0:
            target = (length & 0x3F) << 8 | data[at + 1]
            if behind < 0:
                behind = at + 2
            pointers += 1
            if target >= at or pointers > _MAX_POINTERS:
                raise ValueError("a compression pointer does not lead back")
            at = target
        else:
            raise ValueError("a label is too long")
        length = data[at]
    text = _decoded(b".".join(labels)) if labels else "."
    return text, (at + 1 if behind < 0 else behind)


def _decoded(raw: bytes) -> str:
    """Read UTF-8; each broken character, as long as its first byte claims, becomes one U+FFFD.

    That is how Wireshark shows names, and it keeps the lengths of binary labels (DNS tunnels) true.
    """
    return raw.decode("utf-8", _BROKEN)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    data, end = error.object, error.start + 1
    claimed = _CLAIMED[data[end - 1]]
    if claimed:
        last = min(end + claimed, len(data))
        while end < last and 0x80 <= data[end] < 0xC0:
            end += 1
    return "\ufffd", end


_BROKEN: Final = "inopsio.broken_character"
codecs.register_error(_BROKEN, _replaced)


def _answers(data: bytes, at: int, count: int) -> list[str]:
    found: list[str] = []
    try:
        for _ in range(count):
            # Nearly always the name is a pointer to the question's, which was read.
            at = at + 2 if at > 12 and data[at : at + 2] == _QUESTION else read_name(data, at)[1]
            kind, _class, _ttl, size = _record(data, at)
            at += 10
            if at + size > len(data):
                break
            found.append(_answer(data, at, kind, size))
            at += size
    except (struct.error, IndexError, ValueError):
        pass  # the rest is cut off or garbage: what was read before stays
    return found


def _answer(data: bytes, at: int, kind: int, size: int) -> str:
    """Write one answer's data: addresses and names as such, the rest as its type and size."""
    if kind == 1 and size == 4:
        return socket.inet_ntop(socket.AF_INET, data[at : at + 4])
    if kind == 28 and size == 16:
        return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
    if kind in (2, 5, 12, 39):
        return read_name(data, at)[0]
    if kind == 15:
        return f"{_short(data, at)[0]} {read_name(data, at + 2)[0]}"
    if kind == 33:
        priority, weight, port = struct.unpack_from(">HHH", data, at)
        return f"{priority} {weight} {port} {read_name(data, at + 6)[0]}"
    if kind in (64, 65):
        return f"{_short(data, at)[0]} {read_name(data, at + 2)[0]}"
    if kind == 6:
        primary, after = read_name(data, at)
        return f"{primary} {read_name(data, after)[0]}"
    if kind in (16, 99):
        return _strings(data[at : at + size])
    return f"{dns_type(kind)} ({size} bytes)"


def _strings(data: bytes) -> str:
    """Write the character-strings of a TXT record one behind the other, quoted where several."""
    parts, at = [], 0
    while at < len(data):
        end = at + 1 + data[at]
        parts.append(_decoded(data[at + 1 : end]))
        at = end
    return parts[0] if len(parts) == 1 else " ".join(f'"{part}"' for part in parts)
