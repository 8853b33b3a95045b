"""Read tunnel heads, each of which leads to an inner packet.

IP in IP, EtherIP, GRE, VXLAN and its generic extension, GENEVE, L2TP, MPLS in UDP, GTP-U, Teredo.
Sources: RFC 2003, 2473, 2784, 2890, 2637 (PPTP), 2661 (L2TP), 3378 (EtherIP), 4380, 7348, 7510,
8926, draft-ietf-nvo3-vxlan-gpe, 3GPP TS 29.281.
"""

from typing import Final

import numpy as np

from pipelines.network.headers import (
    NOTHING,
    PPP,
    PROTOCOL,
    TUNNEL,
    Headers,
    Layer,
    Rows,
    u8,
    u16,
)
from pipelines.network.internet import INTERNET_LAYERS
from pipelines.network.links import ETHERNET, IPV4, IPV6, LINK_LAYERS, RAW_IP, ether_types

_ERSPAN_1_2: Final = 0x88BE
_ERSPAN_3: Final = 0x22EB
_MPLS: Final = 0x8847
_SERVICE_HEADER: Final = 0x894F


def _inner(kind: int) -> Layer:
    def step(_octets: bytes, rows: Rows, _: Headers) -> Rows:
        return rows.onward(0, kind)

    return step


def gre(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a GRE head of version 0, or PPTP's version 1."""
    rows = rows.with_room(4)
    flags, inner = u16(octets, rows.at), u16(octets, rows.at + 2)
    version = flags & 7
    has_sequence = (flags & 0x1000) != 0
    options = ((flags >> 15) & 1) + ((flags >> 13) & 1) + ((flags >> 12) & 1)
    pptp = version == 1
    size = np.where(pptp, 8 + 4 * ((flags >> 12) & 1) + 4 * ((flags >> 7) & 1), 4 + 4 * options)
    kind = np.select([pptp & (inner == 0x880B), version == 0], [PPP, ether_types(inner)], NOTHING)
    erspan = (inner == _ERSPAN_1_2) & (version == 0)
    # Type I has no head of its own and no sequence number, type II has both.
    size = size + np.where(erspan & has_sequence, 8, 0)
    kind = np.where(erspan, ETHERNET, kind)
    return rows.onward(size, kind)


def erspan3(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over an ERSPAN type III head to the mirrored frame."""
    rows = rows.with_room(12)
    more = (u8(octets, rows.at + 11) & 1) * 8
    return rows.onward(12 + more, ETHERNET)


def vxlan(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a VXLAN head; other users of the port lack its flag pattern."""
    rows = rows.with_room(8)
    told = (u8(octets, rows.at) & 0x08) != 0
    return rows.onward(8, np.where(told, ETHERNET, NOTHING))


def vxlan_gpe(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over the head of VXLAN's generic extension, which names what it carries."""
    rows = rows.with_room(8)
    told = (u8(octets, rows.at) & 0x0C) == 0x0C
    following = u8(octets, rows.at + 3)
    kinds = [IPV4, IPV6, ETHERNET, _SERVICE_HEADER, _MPLS]
    kind = np.select([following == one for one in range(1, 6)], kinds, NOTHING)
    return rows.onward(8, np.where(told, kind, NOTHING))


def ether_ip(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over EtherIP's two bytes, whose first four bits are 3."""
    rows = rows.with_room(2)
    return rows.onward(2, np.where(u8(octets, rows.at) >> 4 == 3, ETHERNET, NOTHING))


def l2tp(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over the head of an L2TP data message (version 2) to its PPP frame."""
    rows = rows.with_room(12)
    flags = u16(octets, rows.at)
    is_data = ((flags & 0x8000) == 0) & ((flags & 15) == 2)
    at = rows.at + 2 + np.where((flags & 0x4000) != 0, 2, 0) + 4  # length; tunnel and session
    at += np.where((flags & 0x0800) != 0, 4, 0)  # sequence numbers
    padded = (flags & 0x0200) != 0
    room = at + 2 <= rows.end
    at += np.where(padded & room, 2 + u16(octets, np.where(room, at, rows.at)), 0)
    return Rows(rows.row, at, rows.end, np.where(is_data & room, PPP, NOTHING))


def geneve(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a GENEVE head and its options."""
    rows = rows.with_room(8)
    first = u8(octets, rows.at)
    kind = np.where(first >> 6 == 0, ether_types(u16(octets, rows.at + 2)), NOTHING)
    return rows.onward(8 + (first & 63) * 4, kind)


def gtp_user(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a GTP-U head and up to four extension headers to the user's packet."""
    rows = rows.with_room(8)
    first = u8(octets, rows.at)
    sound = (first >> 4 == 3) & (u8(octets, rows.at + 1) == 255)
    rows, first = rows.only(sound), first[sound]
    at = rows.at + 8 + np.where((first & 7) != 0, 4, 0)
    more = ((first & 4) != 0) & (at <= rows.end)
    for _round in range(4):
        chained = np.flatnonzero(more)
        if not len(chained):
            break
        chained = chained[u8(octets, at[chained] - 1) != 0]
        size = u8(octets, at[chained]) * 4
        at[chained] += size
        more = np.zeros(len(at), np.bool_)
        more[chained] = (size > 0) & (at[chained] <= rows.end[chained])
    return Rows(rows.row, at, rows.end, np.full(len(rows), RAW_IP, np.int64))


def teredo(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Teredo's authentication and origin indications to the IPv6 packet."""
    rows = rows.with_room(40)
    signed = u16(octets, rows.at) == 1
    client, value = u8(octets, rows.at + 2), u8(octets, rows.at + 3)
    at = rows.at + np.where(signed, 13 + client + value, 0)
    rows = Rows(rows.row, at, rows.end, rows.kind).with_room(40)
    origin = u16(octets, rows.at) == 0
    rows = rows.onward(np.where(origin, 8, 0), IPV6).with_room(40)
    return rows.only(u8(octets, rows.at) >> 4 == 6)


LAYERS: Final[dict[int, Layer]] = {
    **LINK_LAYERS,
    **INTERNET_LAYERS,
    PROTOCOL + 4: _inner(IPV4),
    PROTOCOL + 41: _inner(IPV6),
    PROTOCOL + 47: gre,
    PROTOCOL + 97: ether_ip,
    PROTOCOL + 137: LINK_LAYERS[_MPLS],
    _ERSPAN_3: erspan3,
    TUNNEL + 1701: l2tp,
    TUNNEL + 2152: gtp_user,
    TUNNEL + 3544: teredo,
    TUNNEL + 4789: vxlan,
    TUNNEL + 4790: vxlan_gpe,
    TUNNEL + 6081: geneve,
    TUNNEL + 6635: _inner(_MPLS),
    TUNNEL + 8472: vxlan,
}
"""Every kind of header the house can read, by its number in `pipelines.network.headers`."""
