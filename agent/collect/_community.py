"""Give a connection the name that every sensor gives it (community-id v1, seed 0)."""

import base64
import hashlib
import socket
import struct
from typing import Final

_PROTOCOLS: Final = {"tcp": 6, "udp": 17}


def community_id(proto: str, one: tuple[str, int], other: tuple[str, int]) -> str | None:
    """Give the community-id, the same for both directions; None for other protocols.

    Source: github.com/corelight/community-id-spec.

    >>> community_id("tcp", ("128.232.110.120", 34855), ("66.35.250.204", 80))
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg='
    """
    number = _PROTOCOLS.get(proto)
    if number is None:
        return None
    try:
        ends = sorted((_packed(address), port) for address, port in (one, other))
    except OSError:
        return None
    (first, first_port), (second, second_port) = ends
    ports = struct.pack("!BBHH", number, 0, first_port, second_port)
    digest = hashlib.sha1(b"\0\0" + first + second + ports, usedforsecurity=False).digest()
    return "1:" + base64.b64encode(digest).decode("ascii")


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
