"""Give flows their community-id v1, the key under which other tools know the same flow.

Specification: github.com/corelight/community-id-spec (seed 0): base64 of SHA-1 over the ordered
ends, behind "1:". SHA-1 is the specification's; nothing is protected by it.
"""

import hashlib
from binascii import b2a_base64
from typing import Final

import numpy as np

from pipelines.network.internet import ICMP, ICMP6, ICMP6_PAIRS, ICMP_PAIRS, PORTED
from pipelines.network.packets import Bools, Int64s, UInt64s

_SEED: Final = b"\0\0"
_NEW: Final = hashlib.sha1(usedforsecurity=False)
"""An empty digest: to copy it costs less than half of making one."""


def _is_pair(kinds: dict[int, int]) -> Bools:
    return np.isin(np.arange(256), list(kinds))


_IS_PAIR: Final = {ICMP: _is_pair(ICMP_PAIRS), ICMP6: _is_pair(ICMP6_PAIRS)}
_WITH_PORTS: Final = np.array([*PORTED, ICMP, ICMP6])
_BEHIND: Final = [("protocol", "u1"), ("", "u1"), ("src_port", ">u2"), ("dst_port", ">u2")]
_TEXT_4: Final = np.dtype([("", ">u2"), ("src_low", ">u4"), ("dst_low", ">u4"), *_BEHIND])
_TEXT_6: Final = np.dtype([
    ("", ">u2"), ("src_high", ">u8"), ("src_low", ">u8"), ("dst_high", ">u8"), ("dst_low", ">u8"),
    *_BEHIND,
])  # fmt: skip

Halves = tuple[UInt64s, UInt64s]


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
    digest = _NEW.copy()
    digest.update(text)
    return "1:" + b2a_base64(digest.digest(), newline=False).decode()


def community_ids(
    version: Int64s, src: Halves, dst: Halves, protocol: Int64s, src_port: Int64s, dst_port: Int64s
) -> list[str]:
    """Give the community-ids of many flows (addresses as high and low halves), 1 us each."""
    one_way = (protocol == ICMP) & ~_IS_PAIR[ICMP][src_port & 255]
    one_way |= (protocol == ICMP6) & ~_IS_PAIR[ICMP6][src_port & 255]
    lower = (src[0] == dst[0]) & ((src[1] > dst[1]) | ((src[1] == dst[1]) & (src_port > dst_port)))
    turn = ((src[0] > dst[0]) | lower) & ~one_way
    bare = ~np.isin(protocol, _WITH_PORTS)
    texts: list[bytes] = [b""] * len(version)
    for layout, rows in ((_TEXT_4, version == 4), (_TEXT_6, version != 4)):
        places = np.flatnonzero(rows)
        text = np.zeros(len(places), layout)
        for name, one, other in (
            ("src_high", src[0], dst[0]), ("dst_high", dst[0], src[0]), ("src_low", src[1], dst[1]),
            ("dst_low", dst[1], src[1]), ("src_port", src_port, dst_port),
            ("dst_port", dst_port, src_port),
        ):  # fmt: skip
            if name in (layout.names or ()):
                text[name] = np.where(turn[places], other[places], one[places])
        text["protocol"] = protocol[places]
        raw = text.tobytes()
        begins = range(0, len(raw), layout.itemsize)
        ends = (np.array(begins, np.int64) + layout.itemsize - 4 * bare[places]).tolist()
        for place, begin, end in zip(places.tolist(), begins, ends, strict=True):
            texts[place] = raw[begin:end]
    return _named(texts)


def _named(texts: list[bytes]) -> list[str]:
    digests: list[bytes] = []
    for text in texts:
        digest = _NEW.copy()
        digest.update(text)
        digests.append(digest.digest())
    # 20 bytes and a zero are 28 letters, of which the last stands for the padding.
    letters = b2a_base64(b"\0".join((*digests, b"")), newline=False).decode()
    return [f"1:{letters[at : at + 27]}=" for at in range(0, 28 * len(digests), 28)]
