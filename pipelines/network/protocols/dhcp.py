"""Read DHCP messages for IPv4 (RFC 2131, options RFC 2132, 3396)."""

import socket
from typing import Final, NamedTuple

_COOKIE: Final = b"\x63\x82\x53\x63"
_MESSAGE_TYPE, _HOST_NAME, _REQUESTED, _SERVER, _VENDOR, _OVERLOAD = 53, 12, 50, 54, 60, 52
_ROUTERS, _NAME_SERVERS = 3, 6
_PAD, _END = 0, 255
MAX_OPTIONS: Final = 96

TYPES: Final = (
    "", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM", "FORCERENEW",
    "LEASEQUERY", "LEASEUNASSIGNED", "LEASEUNKNOWN", "LEASEACTIVE",
)  # fmt: skip


class DhcpMessage(NamedTuple):
    """Hold one message; `address` is the one given (or asked for, where none is given)."""

    id: int
    message_type: str
    client_mac: str
    hostname: str | None
    address: str | None
    server: str | None
    vendor_class: str | None
    router: str | None = None
    name_servers: str | None = None


def read_message(data: bytes) -> DhcpMessage | None:
    """Read one message; None where the bytes are none, or plain BOOTP without options."""
    if len(data) < 240 or data[0] not in (1, 2) or data[236:240] != _COOKIE:
        return None
    options = _options(data, 240, len(data))
    overload = options.get(_OVERLOAD, b"\0")[:1]
    if overload in (b"\x01", b"\x03"):
        options = _options(data, 108, 236) | options
    if overload in (b"\x02", b"\x03"):
        options = _options(data, 44, 108) | options
    kind = options.get(_MESSAGE_TYPE, b"")
    if len(kind) != 1:
        return None
    number = kind[0]
    given = data[16:20] if any(data[16:20]) else options.get(_REQUESTED, b"")
    return DhcpMessage(
        id=int.from_bytes(data[4:8], "big"),
        message_type=TYPES[number] if 0 < number < len(TYPES) else str(number),
        client_mac=data[28 : 28 + min(data[2], 16)].hex(":"),
        hostname=_text(options.get(_HOST_NAME)),
        address=_address(given),
        server=_address(options.get(_SERVER, b"")),
        vendor_class=_text(options.get(_VENDOR)),
        router=_address(options.get(_ROUTERS, b"")[:4]),
        name_servers=_addresses(options.get(_NAME_SERVERS, b"")),
    )


def _options(data: bytes, at: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for _ in range(MAX_OPTIONS):
        while at < end and data[at] == _PAD:
            at += 1
        if at + 2 > end or data[at] == _END:
            break
        kind, size = data[at], data[at + 1]
        if at + 2 + size > end:
            break
        found[kind] = found.get(kind, b"") + data[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def _address(value: bytes) -> str | None:
    return socket.inet_ntop(socket.AF_INET, value) if len(value) == 4 and any(value) else None


def _addresses(value: bytes) -> str | None:
    places = range(0, min(len(value), 32) - 3, 4)
    found = [told for at in places if (told := _address(value[at : at + 4]))]
    return ",".join(found) or None


def _text(value: bytes | None) -> str | None:
    return value.rstrip(b"\0").decode("utf-8", "replace") if value else None
