"""Read ARP messages for IPv4 over Ethernet (RFC 826)."""

import socket
from typing import Final, NamedTuple

_IPV4_OVER_ETHERNET: Final = b"\x00\x01\x08\x00\x06\x04"
OPERATIONS: Final = {1: "request", 2: "reply", 3: "reverse request", 4: "reverse reply"}


class ArpMessage(NamedTuple):
    """Hold who says which address is his, and whom he asks or tells."""

    operation: str
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str


def read_message(data: bytes) -> ArpMessage | None:
    """Read one message; None where it is cut off or speaks of other kinds of addresses."""
    # The hardware type may be another one (IEEE 802, ...) with addresses of the same size.
    if len(data) < 28 or data[2:6] != _IPV4_OVER_ETHERNET[2:]:
        return None
    number = data[6] << 8 | data[7]
    return ArpMessage(
        OPERATIONS.get(number, str(number)),
        data[8:14].hex(":"),
        socket.inet_ntop(socket.AF_INET, data[14:18]),
        data[18:24].hex(":"),
        socket.inet_ntop(socket.AF_INET, data[24:28]),
    )
