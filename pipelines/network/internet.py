"""Read IPv4, IPv6 with its extension headers, TCP, UDP, SCTP and ICMP headers.

Sources: RFC 791, 8200 (IPv6), 9293 (TCP), 768 (UDP), 9260 (SCTP), 792 and 4443 (ICMP).
"""

from typing import Final

import numpy as np

from pipelines.network.headers import (
    EXTENSION,
    FIRST_FRAGMENT,
    LATER_FRAGMENT,
    NOTHING,
    PROTOCOL,
    TUNNEL,
    Headers,
    Layer,
    Rows,
    u8,
    u16,
    u32,
)
from pipelines.network.links import IPV4, IPV6
from pipelines.network.packets import Int64s, heads_at

TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
ICMP6: Final = 58
PORTED: Final = (TCP, UDP, 33, 132, 136)
"""TCP, UDP, DCCP, SCTP and UDP-Lite begin with the two ports."""

_EXTENSIONS: Final = (0, 43, 44, 60, 135, 139, 140)
_AUTHENTICATION: Final = 51

ICMP_PAIRS: Final = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
ICMP6_PAIRS: Final = {
    128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145,
    145: 144, 139: 140, 140: 139,
}  # fmt: skip
"""Type -> the type that answers it, as community-id v1 lists them."""


def _pair_table(pairs: dict[int, int]) -> Int64s:
    table = np.full(256, -1, np.int64)
    for kind, other in pairs.items():
        table[kind] = other
    return table


_IPV4_HEAD: Final = np.dtype([
    ("first", "u1"), ("", "u1"), ("total", ">u2"), ("id", ">u2"), ("offset", ">u2"), ("", "u1"),
    ("protocol", "u1"), ("", ">u2"), ("src", ">u4"), ("dst", ">u4"),
])  # fmt: skip
_IPV6_HEAD: Final = np.dtype([
    ("first", "u1"), ("", "V3"), ("size", ">u2"), ("following", "u1"), ("", "u1"),
    ("src_high", ">u8"), ("src_low", ">u8"), ("dst_high", ">u8"), ("dst_low", ">u8"),
])  # fmt: skip
_TCP_HEAD: Final = np.dtype([
    ("src_port", ">u2"), ("dst_port", ">u2"), ("sequence", ">u4"), ("", ">u4"), ("size", "u1"),
    ("flags", "u1"),
])  # fmt: skip
_UDP_HEAD: Final = np.dtype([("src_port", ">u2"), ("dst_port", ">u2"), ("size", ">u2")])

_ANSWERS: Final = {ICMP: _pair_table(ICMP_PAIRS), ICMP6: _pair_table(ICMP6_PAIRS)}


def ipv4(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write an IPv4 header's addresses and step over its options."""
    rows = rows.with_room(20)
    heads = heads_at(octets, _IPV4_HEAD, rows.at)
    size = (heads["first"] & 15) * np.int64(4)
    sound = (heads["first"] >> 4 == 4) & (size >= 20) & (rows.at + size <= rows.end)
    if not sound.all():
        rows, heads, size = rows.only(sound), heads[sound], size[sound]
    total = heads["total"].astype(np.int64)
    # Segmentation offload leaves a total length of 0: then the frame's end is all there is.
    told = np.where(total >= size, rows.at + total, rows.end)
    end = np.minimum(rows.end, told)
    protocol = heads["protocol"].astype(np.int64)
    _begin_innermost(headers, rows, 4, protocol)
    headers.src_low[rows.row] = heads["src"]
    headers.dst_low[rows.row] = heads["dst"]
    kind = protocol + PROTOCOL
    broken = np.flatnonzero(heads["offset"] & 0x3FFF)
    if len(broken):
        later = (heads["offset"][broken] & 0x1FFF) != 0
        at = rows.row[broken]
        headers.fragment[at] = np.where(later, LATER_FRAGMENT, FIRST_FRAGMENT)
        headers.fragment_id[at] = heads["id"][broken]
        headers.fragment_at[at] = (rows.at + size)[broken]
        headers.fragment_end[at] = end[broken]
        has_more = (heads["offset"][broken] >> 13) & 1
        headers.fragment_offset[at] = (heads["offset"][broken] & 0x1FFF) * np.int64(8) + has_more
        kind[broken[later]] = NOTHING
    return Rows(rows.row, rows.at + size, end, kind)


def ipv6(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write an IPv6 header's addresses and step to the next header."""
    rows = rows.with_room(40)
    heads = heads_at(octets, _IPV6_HEAD, rows.at)
    sound = heads["first"] >> 4 == 6
    if not sound.all():
        rows, heads = rows.only(sound), heads[sound]
    told = heads["size"].astype(np.int64)
    end = np.where(told == 0, rows.end, np.minimum(rows.end, rows.at + 40 + told))
    following = heads["following"].astype(np.int64)
    _begin_innermost(headers, rows, 6, following)
    for name in ("src_high", "src_low", "dst_high", "dst_low"):
        getattr(headers, name)[rows.row] = heads[name]
    return Rows(rows.row, rows.at + 40, end, _after_ipv6(following))


def _begin_innermost(headers: Headers, rows: Rows, version: int, protocol: Int64s) -> None:
    """Begin a new innermost header: what an outer one said of addresses and ports is void."""
    row = rows.row
    tunnelled = row[headers.version[row] != 0]
    if len(tunnelled):
        for column in (
            headers.src_high, headers.dst_high, headers.src_port, headers.dst_port,
            headers.tcp_flags, headers.sequence, headers.payload, headers.payload_end,
            headers.fragment,
        ):  # fmt: skip
            column[tunnelled] = 0
    headers.version[row] = version
    headers.protocol[row] = protocol


def _after_ipv6(following: Int64s) -> Int64s:
    return np.where(np.isin(following, _EXTENSIONS), following + EXTENSION, following + PROTOCOL)


def extension(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Step over a hop-by-hop, routing, destination or mobility header."""
    rows = rows.with_room(8)
    following = u8(octets, rows.at)
    headers.protocol[rows.row] = following
    return rows.onward((u8(octets, rows.at + 1) + 1) * 8, _after_ipv6(following))


def fragment6(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Step over an IPv6 fragment header; only the first fragment shows its ports."""
    rows = rows.with_room(8)
    following, offset = u8(octets, rows.at), u16(octets, rows.at + 2)
    headers.protocol[rows.row] = following
    later = (offset & 0xFFF8) != 0
    kind = np.where(later, LATER_FRAGMENT, np.where(offset & 1, FIRST_FRAGMENT, 0))
    headers.fragment[rows.row] = kind
    headers.fragment_id[rows.row] = u32(octets, rows.at + 4)
    headers.fragment_at[rows.row] = rows.at + 8
    headers.fragment_end[rows.row] = rows.end
    headers.fragment_offset[rows.row] = (offset & 0xFFF8) + (offset & 1)
    return rows.onward(8, np.where(later, NOTHING, _after_ipv6(following)))


def authentication(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Step over an IPsec authentication header."""
    rows = rows.with_room(8)
    following = u8(octets, rows.at)
    headers.protocol[rows.row] = following
    return rows.onward((u8(octets, rows.at + 1) + 2) * 4, _after_ipv6(following))


def ported(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write the two ports with which SCTP and others begin."""
    rows = rows.with_room(4)
    headers.src_port[rows.row] = u16(octets, rows.at)
    headers.dst_port[rows.row] = u16(octets, rows.at + 2)
    return rows.onward(4, NOTHING)


def tcp(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write ports, flags, sequence number and payload of TCP segments."""
    rows = _with_head(octets, rows, headers, 20)
    row, heads = rows.row, heads_at(octets, _TCP_HEAD, rows.at)
    headers.src_port[row] = heads["src_port"]
    headers.dst_port[row] = heads["dst_port"]
    headers.sequence[row] = heads["sequence"]
    headers.tcp_flags[row] = heads["flags"]
    size = np.maximum((heads["size"] >> 4) * np.int64(4), 20)
    headers.payload[row] = np.minimum(rows.at + size, rows.end)
    headers.payload_end[row] = rows.end
    return rows.onward(size, NOTHING)


def _with_head(octets: bytes, rows: Rows, headers: Headers, size: int) -> Rows:
    """Keep the packets that have the whole head; of the others write the ports."""
    whole = rows.at + size <= rows.end
    if not whole.all():
        ported(octets, rows.only(~whole), headers)
    return rows.only(whole)


def udp(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write ports and payload of UDP datagrams; known tunnel ports lead further in."""
    rows = _with_head(octets, rows, headers, 8)
    row, heads = rows.row, heads_at(octets, _UDP_HEAD, rows.at)
    src_port, dst_port = heads["src_port"], heads["dst_port"]
    headers.src_port[row] = src_port
    headers.dst_port[row] = dst_port
    told = heads["size"].astype(np.int64)
    end = np.where(told >= 8, np.minimum(rows.end, rows.at + told), rows.end)
    headers.payload[row] = rows.at + 8
    headers.payload_end[row] = end
    kind = _TUNNEL_AT[src_port]
    by_receiver = _TUNNEL_AT[dst_port]
    kind = np.where(by_receiver != NOTHING, by_receiver, kind)
    return Rows(row, rows.at + 8, end, kind)


TUNNEL_PORTS: Final = (1701, 2152, 3544, 4789, 4790, 6081, 6635, 8472)
"""L2TP, GTP-U, Teredo, VXLAN, its generic extension, GENEVE, MPLS, and VXLAN of older Linux."""


def _tunnel_table() -> Int64s:
    table = np.full(65_536, NOTHING, np.int64)
    for port in TUNNEL_PORTS:
        table[port] = TUNNEL + port
    return table


_TUNNEL_AT: Final = _tunnel_table()


def _icmp(protocol: int) -> Layer:
    def step(octets: bytes, rows: Rows, headers: Headers) -> Rows:
        rows = rows.with_room(2)
        kind, code = u8(octets, rows.at), u8(octets, rows.at + 1)
        answer = _ANSWERS[protocol][kind]
        headers.src_port[rows.row] = kind
        headers.dst_port[rows.row] = np.where(answer < 0, code, answer)
        return rows.onward(2, NOTHING)

    return step


INTERNET_LAYERS: Final[dict[int, Layer]] = {
    IPV4: ipv4,
    IPV6: ipv6,
    PROTOCOL + TCP: tcp,
    PROTOCOL + UDP: udp,
    PROTOCOL + ICMP: _icmp(ICMP),
    PROTOCOL + ICMP6: _icmp(ICMP6),
    PROTOCOL + 33: ported,
    PROTOCOL + 132: ported,
    PROTOCOL + 136: ported,
    PROTOCOL + _AUTHENTICATION: authentication,
    EXTENSION + 44: fragment6,
    **{EXTENSION + number: extension for number in _EXTENSIONS if number != 44},
}
