"""Read TLS ClientHello and ServerHello messages.

Sources: RFC 8446 and 5246 (handshake), 6066 (server name), 7301 (ALPN), 8701 (GREASE). A message
may be spread over several records. What is cut off inside a hello ends the reading there; every
loop ends with the bytes given, of which there are at most MAX_MESSAGE.
"""

from struct import Struct, unpack_from
from typing import Final, NamedTuple

MAX_MESSAGE: Final = 16_384
"""A hello is longer only when somebody plays games."""
MAX_NUMBERS: Final = 512
"""Ciphers, extensions, groups, algorithms of a hello, each: one of more gets no fingerprint."""
CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
LAST_WITH_CERTIFICATE: Final = 0x0303
"""TLS 1.2: later versions send certificates encrypted."""

_pair = Struct(">HH").unpack_from
_HANDSHAKE: Final = 22
_CERTIFICATE: Final = 11
FEW_RECORDS: Final = 16
MAX_RECORDS: Final = 1_024
"""Records over which a hello, or a certificate behind it, may be spread."""
_DRAFTS: Final = 0x7F
BEFORE: Final = ((20, 1), (21, 2))
"""Type and size of records that may precede a hello."""
_SNI, _GROUPS, _FORMATS, _ALGORITHMS, _ALPN, _VERSIONS = 0, 10, 11, 13, 16, 43

VERSIONS: Final = {
    0x0002: "SSLv2", 0x0300: "SSLv3", 0x0301: "TLSv1.0", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2",
    0x0304: "TLSv1.3", 0xFEFF: "DTLSv1.0", 0xFEFD: "DTLSv1.2", 0xFEFC: "DTLSv1.3",
}  # fmt: skip


class ClientHello(NamedTuple):
    """Hold what a client offers, numbers in the order of the wire, GREASE included."""

    version: int
    ciphers: list[int]
    extensions: list[int]
    groups: list[int]
    formats: list[int]
    algorithms: list[int]
    versions: list[int]
    sni: str | None
    alpn: list[bytes]


class ServerHello(NamedTuple):
    """Hold what a server chose; `chosen` is the version that counts (RFC 8446, 4.2.1)."""

    version: int
    cipher: int
    extensions: list[int]
    chosen: int
    alpn: list[bytes]


def version_name(number: int) -> str:
    """Name a version; drafts of 1.3 and unknown ones are their number.

    >>> version_name(0x0304), version_name(0x7F1C)
    ('TLSv1.3', '0x7f1c')
    """
    return VERSIONS.get(number) or f"0x{number:04x}"


GREASE: Final = frozenset(0x0A0A + 0x1010 * i for i in range(16))
"""Values that mean nothing (RFC 8701)."""


class TooManyRecords(ValueError):
    """Say that a message is spread over more than MAX_RECORDS records."""


def joined(data: bytes) -> tuple[bytes, int]:
    """Give what the handshake records hold as far as it came, and how many records they are."""
    found: list[bytes] = []
    at = count = 0
    while len(data) - at >= 5 and count <= MAX_RECORDS:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if (data[at], size) not in BEFORE or found:
            found.append(data[at + 5 : at + 5 + size])
        at += 5 + size
        count += 1
    return b"".join(found), count


def least_size(data: bytes) -> int:
    """Give how many bytes there must be before a hello, or what follows it, can be whole.

    0 where the records are few: to read them anew with each segment then costs little.
    """
    stream, count = joined(data)
    if count <= FEW_RECORDS:
        return 0
    at = 0
    while len(stream) - at >= 4:
        begin, size = at, int.from_bytes(stream[at + 1 : at + 4], "big")
        if stream[at] == _CERTIFICATE and len(stream) - at >= 10:
            size = 6 + int.from_bytes(stream[at + 7 : at + 10], "big")  # the first one will do
        at = begin + 4 + size
    return len(data) + max(at - len(stream), 1)


def cut_hello(data: bytes) -> bytes | None:
    """Give the handshake message with which the records begin; None: more bytes are needed.

    ValueError where the bytes are no hello, TooManyRecords where they may be one.
    """
    message, at = b"", 0
    for _ in range(MAX_RECORDS):
        if len(data) - at < 5:
            return None
        kind, major = data[at], data[at + 1]
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if major != 3 or size > MAX_MESSAGE + 256 or not size:
            raise ValueError("no TLS record")
        # A warning ("unrecognized name") or, for old middle boxes, a cipher change may precede it.
        if (kind, size) in BEFORE and not message:
            at += 5 + size
            continue
        if kind != _HANDSHAKE:
            raise ValueError("no handshake record")
        message += data[at + 5 : at + 5 + size]
        if _is_whole_hello(message):
            return message[: 4 + int.from_bytes(message[1:4], "big")]
        if len(data) < at + 5 + size:
            return None
        at += 5 + size
    raise TooManyRecords("a hello in too many records")


def _is_whole_hello(message: bytes) -> bool:
    """Tell whether a hello is there to its end; ValueError where it is none, or too long."""
    if message and message[0] not in (CLIENT_HELLO, SERVER_HELLO):
        raise ValueError("no hello")
    if len(message) < 4:
        return False
    whole = 4 + int.from_bytes(message[1:4], "big")
    if whole > MAX_MESSAGE:
        raise ValueError("the hello is too long")
    return len(message) >= whole


def read_client(message: bytes) -> ClientHello | None:
    """Read a ClientHello (with its four bytes of handshake head); None where it is none."""
    if len(message) < 42 or message[0] != CLIENT_HELLO:
        return None
    at = 39 + message[38]
    ciphers, at = _listed(message, at, 2)
    at += 1 + (message[at] if at < len(message) else 0)
    extensions, found = _extensions(message, at)
    names = found.get(_SNI)
    versions = found.get(_VERSIONS, b"")
    return ClientHello(
        version=int.from_bytes(message[4:6], "big"),
        ciphers=ciphers,
        extensions=extensions,
        groups=_listed(found.get(_GROUPS, b""), 0, 2)[0],
        formats=list(found.get(_FORMATS, b"")[1:]),
        algorithms=_listed(found.get(_ALGORITHMS, b""), 0, 2)[0],
        versions=_numbers(versions[1 : 1 + versions[0]]) if versions else [],
        sni=_host(names) if names else None,
        alpn=_strings(found.get(_ALPN, b"")),
    )


def read_server(message: bytes) -> ServerHello | None:
    """Read a ServerHello (with its four bytes of handshake head); None where it is none."""
    if len(message) < 42 or message[0] != SERVER_HELLO:
        return None
    version = int.from_bytes(message[4:6], "big")
    # Drafts of TLS 1.3 up to 21 had neither session id nor compression here.
    is_draft = version >> 8 == _DRAFTS
    at = 38 if is_draft else 39 + message[38]
    behind = at + 2 if is_draft else at + 3
    if len(message) < at + 2:
        return None
    extensions, found = _extensions(message, behind)
    chosen = found.get(_VERSIONS, b"")
    return ServerHello(
        version=version,
        cipher=int.from_bytes(message[at : at + 2], "big"),
        extensions=extensions,
        chosen=int.from_bytes(chosen, "big") if len(chosen) == 2 else version,
        alpn=_strings(found.get(_ALPN, b"")),
    )


def _listed(data: bytes, at: int, width: int) -> tuple[list[int], int]:
    """Read a list of two-byte numbers behind its length of `width` bytes; give where it ends."""
    size = int.from_bytes(data[at : at + width], "big")
    at += width
    return _numbers(data[at : at + size]), at + size


def _numbers(data: bytes) -> list[int]:
    return list(unpack_from(f">{len(data) // 2}H", data))


def _extensions(message: bytes, at: int) -> tuple[list[int], dict[int, bytes]]:
    """Give the extensions' types in order, and their data; of two of one type the first counts."""
    end = min(len(message), at + 2 + int.from_bytes(message[at : at + 2], "big"))
    at += 2
    types: list[int] = []
    found: dict[int, bytes] = {}
    while at + 4 <= end and len(types) <= MAX_NUMBERS:
        kind, size = _pair(message, at)
        behind = at + 4 + size
        types.append(kind)
        if kind not in found:
            found[kind] = message[at + 4 : min(behind, end)]
        at = behind
    return types, found


def _host(data: bytes) -> str | None:
    """Give the host name of a server name list (two bytes of length, type 0, length, name)."""
    if len(data) < 5 or data[2] != 0:
        return None
    size = int.from_bytes(data[3:5], "big")
    return data[5 : 5 + size].decode("utf-8", "replace") or None


def _strings(data: bytes) -> list[bytes]:
    """Give the ALPN names: two bytes of length, then each behind one byte of length."""
    found: list[bytes] = []
    at, end = 2, min(len(data), 2 + int.from_bytes(data[:2], "big"))
    while at < end:
        size = data[at]
        found.append(data[at + 1 : min(at + 1 + size, end)])
        at += 1 + size
    return found
