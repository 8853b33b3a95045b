"""Read DHCP messages for IPv6 (RFC 8415; names: RFC 4704), also inside a relay's."""

import socket
from collections.abc import Iterator
from struct import Struct
from typing import Final

from pipelines.network.protocols.dhcp import DhcpMessage

TYPES: Final = (
    "", "SOLICIT", "ADVERTISE", "REQUEST", "CONFIRM", "RENEW", "REBIND", "REPLY", "RELEASE",
    "DECLINE", "RECONFIGURE", "INFORMATION-REQUEST", "RELAY-FORW", "RELAY-REPL",
)  # fmt: skip
MAX_OPTIONS: Final = 96
MAX_RELAYS: Final = 8

_pair: Final = Struct(">HH").unpack_from
_RELAYS: Final = (12, 13)
_CLIENT, _FOR_NOW, _FOR_TIME, _ADDRESS, _RELAYED, _UNICAST, _VENDOR = 1, 3, 4, 5, 9, 12, 16
_PREFIXES, _PREFIX, _NAME = 25, 26, 39
_HEADS: Final = {_FOR_NOW: 12, _FOR_TIME: 4, _PREFIXES: 12}
"""Bytes in front of the options of an option that has some of its own."""


def read_message(data: bytes) -> DhcpMessage | None:
    """Read one message; None where the bytes are none.

    `client_mac` is the one in the client's DUID, or the whole DUID where that has none; `server`
    the address it gives for unicast; `address` the first one given, else the first prefix.
    """
    for _ in range(MAX_RELAYS):
        if len(data) < 4 or data[0] not in _RELAYS:
            break
        inner = dict(_options(data, 34)).get(_RELAYED)
        if inner is None:
            return None
        data = inner
    if len(data) < 8 or not 0 < data[0] < len(TYPES) or data[0] in _RELAYS:
        return None
    found: dict[int, bytes] = {}
    addresses: list[str] = []
    for kind, value in _options(data, 4):
        found.setdefault(kind, value)
        if kind in _HEADS:
            addresses += _given(value, _HEADS[kind])
    if not found:
        return None
    return DhcpMessage(
        id=int.from_bytes(data[1:4], "big"),
        message_type=TYPES[data[0]],
        client_mac=_hardware(found.get(_CLIENT, b"")),
        hostname=_host(found.get(_NAME, b"")),
        address=addresses[0] if addresses else None,
        server=_address(found.get(_UNICAST, b"")),
        vendor_class=_vendor(found.get(_VENDOR, b"")),
    )


def _options(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    for _ in range(MAX_OPTIONS):
        if at + 4 > len(data):
            return
        kind, size = _pair(data, at)
        if at + 4 + size > len(data):
            return
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def _given(value: bytes, head: int) -> Iterator[str]:
    """Give the addresses, and the prefixes, of an association."""
    for kind, inner in _options(value, head):
        if kind == _ADDRESS and len(inner) >= 16 and (told := _address(inner[:16])):
            yield told
        elif kind == _PREFIX and len(inner) >= 25:
            yield f"{socket.inet_ntop(socket.AF_INET6, inner[9:25])}/{inner[8]}"


def _hardware(duid: bytes) -> str:
    kind = int.from_bytes(duid[:2], "big")
    # By link address, with (1) or without (3) the time at which it was made.
    skip = {1: 8, 3: 4}.get(kind, 0)
    return duid[skip:][:32].hex(":")


def _host(value: bytes) -> str | None:
    """Read the name: a byte of flags, then labels as in DNS, not always ended."""
    labels, at = [], 1
    while at < len(value) and 0 < value[at] < 64:
        labels.append(value[at + 1 : at + 1 + value[at]].decode("utf-8", "replace"))
        at += 1 + value[at]
    return ".".join(labels) or None


def _address(value: bytes) -> str | None:
    return socket.inet_ntop(socket.AF_INET6, value) if len(value) == 16 and any(value) else None


def _vendor(value: bytes) -> str | None:
    """Give the first text behind the four bytes of the enterprise's number."""
    size = int.from_bytes(value[4:6], "big")
    return value[6 : 6 + size].decode("utf-8", "replace") or None
