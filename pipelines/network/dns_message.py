"""Read one DNS message: what was asked, what was answered.

Sources: RFC 1035 (messages, compression), 3596 (AAAA), 2782 (SRV), 6762 (mDNS), 9460 (SVCB).
Every loop is bounded: a name follows at most 64 pointers, each to an earlier place, and has at
most 255 bytes; a message gives at most MAX_ANSWERS answers.
"""

import re
import socket
import struct
from typing import Final, NamedTuple

from pipelines.network.names import dns_code, dns_type

MAX_ANSWERS: Final = 256
MAX_STRINGS: Final = 64
"""Of a TXT record: a longer one says so at its end."""
_MAX_NAME: Final = 255
_MAX_POINTERS: Final = 64
_MAX_QUESTIONS: Final = 64
_MAX_RECORDS: Final = 1_024
_QUESTION: Final = b"\xc0\x0c"
_POINTERS: Final = b"\xc0"
_OPCODES: Final = frozenset((0, 1, 2, 4, 5, 6))

_head = struct.Struct(">HHHHHH").unpack_from
_pair = struct.Struct(">HH").unpack_from
_short = struct.Struct(">H").unpack_from
_record = struct.Struct(">HHIH").unpack_from
_address_record = struct.Struct(">HHIH4B").unpack_from


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
    tails: Tails = {}
    for asked in range(questions):
        try:
            name, at = read_name(data, at, tails)
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
        tails: Tails = {}
        at = read_name(data, 12)[1] + 4
        for _ in range(min(sum(records), _MAX_RECORDS)):
            at = read_name(data, at, tails)[1]
            at += 10 + _record(data, at)[3]
    except (struct.error, IndexError, ValueError):
        return False
    return at == len(data)


Tails = dict[int, tuple[bytes, int]]
"""What pointers of a message led to: the rest of the name, and how many more were followed."""


def read_name(data: bytes, at: int, tails: Tails | None = None) -> tuple[str, int]:
    """Read a name and give it with the offset behind it; the root is '.'.

    Bytes are read as UTF-8 (mDNS), what is none becomes U+FFFD. ValueError or IndexError where
    the name is none: cut off, a pointer forward or in a circle, or longer than 255 bytes.
    `tails`: of the message's other names, so that no place is read twice.
    """
    start, length = at, data[at]
    labels: list[bytes] = []
    pointers = 0
    while length:
        if length < 64:
            labels.append(data[at + 1 : at + 1 + length])
            at += length + 1
        else:
            tail, pointers = _followed(data, at, {} if tails is None else tails, 1)
            if tail:
                labels.append(tail)
            at += 1
            break
        length = data[at]
        if at - start >= _MAX_NAME:
            raise ValueError("a name is too long")
    raw = b".".join(labels)
    if len(raw) >= _MAX_NAME or pointers > _MAX_POINTERS:
        raise ValueError("a name is too long, or follows too many pointers")
    return (_decoded(raw) if labels else "."), at + 1


def _followed(data: bytes, at: int, tails: Tails, depth: int) -> tuple[bytes, int]:
    """Follow the pointer that stands there; ValueError where it is none, or leads on too far."""
    target = (data[at] & 0x3F) << 8 | data[at + 1]
    if data[at] < 0xC0 or target >= at or depth > _MAX_POINTERS:
        raise ValueError("a compression pointer does not lead back")
    if target in tails:
        return tails[target]
    labels: list[bytes] = []
    at, pointers = target, 1
    length = data[at]
    while 0 < length < 64:
        labels.append(data[at + 1 : at + 1 + length])
        at += length + 1
        length = data[at]
        if at - target >= _MAX_NAME:
            raise ValueError("a name is too long")
    if length:
        tail, more = _followed(data, at, tails, depth + 1)
        pointers += more
        if tail:
            labels.append(tail)
    found = tails[target] = b".".join(labels), pointers
    if len(found[0]) >= _MAX_NAME:
        raise ValueError("a name is too long")
    return found


def _decoded(raw: bytes) -> str:
    """Read UTF-8; each broken character, as long as its first byte claims, becomes one U+FFFD.

    That is how Wireshark shows names, and it keeps the lengths of binary labels (DNS tunnels) true.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    # What is broken stands as one surrogate a byte at first: an error handler for each took
    # twenty times as long.
    text = raw.decode("utf-8", "surrogateescape")
    if _CLAIMS.search(text):
        text = _CLAIMS.sub("\udc80", text)
    return text.translate(_BROKEN)


def _claims() -> re.Pattern[str]:
    """Match the broken characters of more than one byte, as `surrogateescape` writes them."""
    kinds = ((0xC0, 0xDF, 1), (0xE0, 0xEF, 2), (0xF0, 0xF7, 3), (0xF8, 0xFB, 4), (0xFC, 0xFF, 5))
    each = (
        f"[{chr(0xDC00 + low)}-{chr(0xDC00 + high)}][\udc80-\udcbf]{{1,{most}}}"
        for low, high, most in kinds
    )
    return re.compile("|".join(each))


_CLAIMS: Final = _claims()
_BROKEN: Final = dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")


def _answers(data: bytes, at: int, count: int) -> list[str]:
    found: list[str] = []
    tails: Tails = {}
    # Nearly always the name is a pointer to the question's, which was read.
    sound = {_QUESTION} if at > 12 else set()
    last = len(data) - 14
    try:
        for _ in range(count):
            name = data[at : at + 2]
            if name in sound:
                at += 2
            else:
                begun, at = at, read_name(data, at, tails)[1]
                if at == begun + 2 and name >= _POINTERS:
                    sound.add(name)
            if at <= last:
                kind, _class, _ttl, size, a, b, c, d = _address_record(data, at)
                if kind == 1 and size == 4:
                    found.append(f"{a}.{b}.{c}.{d}")
                    at += 14
                    continue
            kind, _class, _ttl, size = _record(data, at)
            at += 10
            if at + size > len(data):
                break
            found.append(_answer(data, at, kind, size, tails))
            at += size
    except (struct.error, IndexError, ValueError):
        pass  # the rest is cut off or garbage: what was read before stays
    return found


def _answer(data: bytes, at: int, kind: int, size: int, tails: Tails) -> str:
    """Write one answer's data: addresses and names as such, the rest as its type and size."""
    if kind == 28 and size == 16:
        return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
    if kind in (2, 5, 12, 39):
        return read_name(data, at, tails)[0]
    if kind == 15:
        return f"{_short(data, at)[0]} {read_name(data, at + 2, tails)[0]}"
    if kind == 33:
        priority, weight, port = struct.unpack_from(">HHH", data, at)
        return f"{priority} {weight} {port} {read_name(data, at + 6, tails)[0]}"
    if kind in (64, 65):
        return f"{_short(data, at)[0]} {read_name(data, at + 2, tails)[0]}"
    if kind == 6:
        primary, after = read_name(data, at, tails)
        return f"{primary} {read_name(data, after, tails)[0]}"
    if kind in (16, 99):
        return _strings(data[at : at + size])
    return f"{dns_type(kind)} ({size} bytes)"


def _strings(data: bytes) -> str:
    """Write the character-strings of a TXT record one behind the other, quoted where several.

    The first MAX_STRINGS of them; three points stand for the rest.
    """
    parts: list[str] = []
    at = 0
    while at < len(data) and len(parts) < MAX_STRINGS:
        end = at + 1 + data[at]
        parts.append(_decoded(data[at + 1 : end]))
        at = end
    if len(parts) == 1:
        return parts[0]
    quoted = " ".join([f'"{part}"' for part in parts])
    return quoted if at >= len(data) else f"{quoted} ..."
