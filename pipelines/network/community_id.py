"""Give flows their community-id v1, the key under which other tools know the same flow.

Specification: github.com/corelight/community-id-spec (seed 0): base64 of SHA-1 over the ordered
ends, behind "1:". SHA-1 is the specification's; nothing is protected by it.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from pipelines.network.internet import ICMP, ICMP6, ICMP6_PAIRS, ICMP_PAIRS, PORTED

_SEED: Final = b"\0\0"


def community_id(src: bytes, dst: bytes, protocol: int, src_port: int, dst_port: int) -> str:
    """Give the community-id of one flow; addresses packed, ICMP's type and code as ports.

    >>> community_id(bytes([128, 232, 110, 120]), bytes([66, 35, 250, 204]), 6, 34855, 80)
    '1:LQU9qZlK+B5F3KDmev6m5PMibrg='
    """
    has_ports = protocol in PORTED or protocol in (ICMP, ICMP6)
    one_way = protocol == ICMP and src_port not in ICMP_PAIRS
    one_way = one_way or (protocol == ICMP6 and src_port not in ICMP6_PAIRS)
    if not one_way and (src, src_port) > (dst, dst_port):
        src, dst, src_port, dst_port = dst, src, dst_port, src_port
    text = _SEED + src + dst + bytes((protocol, 0))
    if has_ports:
        text += src_port.to_bytes(2, "big") + dst_port.to_bytes(2, "big")
    digest = hashlib.sha1(text, usedforsecurity=False).digest()
    return "1:" + b64encode(digest).decode()


def community_ids(
    src: Sequence[bytes],
    dst: Sequence[bytes],
    protocol: Sequence[int],
    src_port: Sequence[int],
    dst_port: Sequence[int],
) -> list[str]:
    """Give the community-ids of many flows; one call a flow, some 2 us each."""
    return [
        community_id(*ends) for ends in zip(src, dst, protocol, src_port, dst_port, strict=True)
    ]
