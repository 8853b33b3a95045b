"""Read link layers and what may lie between them and IP: VLAN tags, MPLS, PPP, PPPoE, LLC.

Link types are LINKTYPE_ numbers of tcpdump.org; EtherTypes are IEEE's.
"""

from typing import Final

import numpy as np

from pipelines.network.headers import (
    LINK,
    NOTHING,
    PPP,
    PROTOCOL,
    Headers,
    Layer,
    Rows,
    concatenated,
    u8,
    u16,
    u32,
)
from pipelines.network.packets import Int64s, field_at

IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ETHERNET: Final = LINK + 1
RAW_IP: Final = LINK + 101

_PPP_TYPES: Final = ((0x0021, IPV4), (0x0057, IPV6), (0x0281, 0x8847))


def ethernet(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over two addresses and the EtherType, or a length and LLC/SNAP."""
    rows = rows.with_room(14)
    return _after_type(rows.onward(14, u16(octets, rows.at + 12)))


def _after_type(rows: Rows) -> Rows:
    """Turn an 802.3 length into the LLC kind; EtherTypes stay."""
    return Rows(rows.row, rows.at, rows.end, np.where(rows.kind < 0x600, _LLC, rows.kind))


_LLC: Final = 0x60000
_MPLS_INNER: Final = 0x60001


def llc(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over LLC and SNAP to the EtherType; other LLC users carry no IP."""
    rows = rows.with_room(8)
    snap = (u16(octets, rows.at) == 0xAAAA) & (u8(octets, rows.at + 2) == 3)
    return rows.onward(8, np.where(snap, u16(octets, rows.at + 6), NOTHING))


def vlan(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over an 802.1Q or 802.1ad tag."""
    rows = rows.with_room(4)
    return _after_type(rows.onward(4, u16(octets, rows.at + 2)))


def vntag(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a VNTag (802.1Qbh)."""
    rows = rows.with_room(6)
    return _after_type(rows.onward(6, u16(octets, rows.at + 4)))


def mpls(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over one label; under the last one IP or an Ethernet pseudo-wire is guessed."""
    rows = rows.with_room(4)
    last = (u8(octets, rows.at + 2) & 1) == 1
    return rows.onward(4, np.where(last, _MPLS_INNER, 0x8847))


def under_mpls(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Guess by the first half-byte what the last label carries, as routers do (RFC 4928)."""
    rows = rows.with_room(4)
    nibble = u8(octets, rows.at) >> 4
    # A control word begins with a zero half-byte and precedes an Ethernet frame.
    kind = np.select([nibble == 4, nibble == 6], [IPV4, IPV6], ETHERNET)
    return rows.onward(np.where(u32(octets, rows.at) >> 24 == 0, 4, 0), kind)


def arp(_octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Write where an ARP message lies."""
    rows = rows.with_room(28)
    headers.arp[rows.row] = rows.at
    headers.payload_end[rows.row] = rows.end
    return rows.onward(0, NOTHING)


def pppoe(_octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over the PPPoE session head to the PPP protocol."""
    rows = rows.with_room(8)
    return rows.onward(6, PPP)


def ppp(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over PPP: optional address and control, protocol of one or two bytes."""
    rows = rows.with_room(4)
    framed = u16(octets, rows.at) == 0xFF03
    at = rows.at + np.where(framed, 2, 0)
    short = (u8(octets, at) & 1) == 1
    number = np.where(short, u8(octets, at), u16(octets, at))
    kind = np.full(len(rows), NOTHING, np.int64)
    for ppp_type, ether_type in _PPP_TYPES:
        kind[number == ppp_type] = ether_type
    return rows.onward(np.where(framed, 2, 0) + np.where(short, 1, 2), kind)


def raw_ip(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Tell IPv4 from IPv6 by the first half-byte."""
    rows = rows.with_room(1)
    nibble = u8(octets, rows.at) >> 4
    return rows.onward(0, np.select([nibble == 4, nibble == 6], [IPV4, IPV6], NOTHING))


def null(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over BSD loopback's address family, which is in the byte order of some host."""
    rows = rows.with_room(4)
    family = np.minimum(field_at(octets, "<u4", rows.at), u32(octets, rows.at))
    kind = np.select([family == 2, np.isin(family, (10, 24, 28, 30))], [IPV4, IPV6], NOTHING)
    return rows.onward(4, kind)


def cisco_hdlc(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Cisco's address and control to the EtherType."""
    rows = rows.with_room(4)
    return rows.onward(4, u16(octets, rows.at + 2))


def linux_sll(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Linux' cooked head (any interface)."""
    rows = rows.with_room(16)
    return _after_type(rows.onward(16, u16(octets, rows.at + 14)))


def linux_sll2(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Linux' second cooked head."""
    rows = rows.with_room(20)
    return _after_type(rows.onward(20, u16(octets, rows.at)))


def radiotap(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over the radio's own head to the 802.11 frame."""
    rows = rows.with_room(4)
    return rows.onward(field_at(octets, "<u2", rows.at + 2), LINK + 105)


def per_packet_information(octets: bytes, rows: Rows, headers: Headers) -> Rows:
    """Step over a PPI head, which names the link type under it."""
    rows = rows.with_room(8)
    link = field_at(octets, "<u4", rows.at + 4)
    strange = {int(one) for one in np.unique(link) if int(one) + LINK not in LINK_LAYERS}
    headers.unknown_links |= frozenset(sorted(strange)[:_MAX_TOLD])
    kind = np.where(link < PROTOCOL - LINK, link + LINK, NOTHING)
    return rows.onward(field_at(octets, "<u2", rows.at + 2), kind)


def prism(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Prism's radio head, whose length stands in the sender's order, or AVS's."""
    rows = rows.with_room(8)
    big, little = u32(octets, rows.at + 4), field_at(octets, "<u4", rows.at + 4)
    return rows.onward(np.minimum(big, little), LINK + 105)


def packet_filter_log(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over the head of OpenBSD's pf, padded to four bytes; its second byte is the family."""
    rows = rows.with_room(4)
    family = u8(octets, rows.at + 1)
    kind = np.select([family == 2, np.isin(family, (10, 24, 28, 30))], [IPV4, IPV6], NOTHING)
    return rows.onward((u8(octets, rows.at) + 3) & ~3, kind)


def wireless(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over an 802.11 data frame's head; protected and management frames carry no IP here."""
    rows = rows.with_room(26)
    control, flags = u8(octets, rows.at), u8(octets, rows.at + 1)
    data = ((control & 0x0C) == 0x08) & ((control & 0x40) == 0) & ((flags & 0x40) == 0)
    quality = (control & 0x80) != 0
    size = 24 + np.where((flags & 3) == 3, 6, 0) + np.where(quality, 2, 0)
    size += np.where(quality & ((flags & 0x80) != 0), 4, 0)
    return rows.onward(size, np.where(data, _LLC, NOTHING))


def netfilter_log(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over NFLOG's fields (each its length, type, value) to the packet's."""
    rows = rows.with_room(4)
    family = u8(octets, rows.at)
    kind = np.select([family == 2, family == 10], [IPV4, IPV6], NOTHING)
    rows = rows.onward(4, kind)
    found: list[Rows] = []
    for _round in range(_MAX_FIELDS):
        rows = rows.with_room(4)
        if not len(rows):
            break
        size = np.maximum(field_at(octets, "<u2", rows.at), 4)
        is_packet = (field_at(octets, "<u2", rows.at + 2) & 0x7FFF) == _NFLOG_PACKET
        found.append(rows.only(is_packet).onward(4, rows.kind[is_packet]))
        rows = rows.onward((size + 3) & ~3, rows.kind).only(~is_packet)
    return concatenated(found) if found else rows


_MAX_FIELDS: Final = 24
_MAX_TOLD: Final = 8
_NFLOG_PACKET: Final = 9


def frame_relay(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over Frame Relay's address of two bytes, control, and RFC 2427's protocol or SNAP."""
    rows = rows.with_room(10)
    at = rows.at + 2
    padded = (u8(octets, at) == 3) & (u8(octets, at + 1) == 0)
    number = np.where(u8(octets, at) == 3, u8(octets, at + 1 + padded), 0)
    snap = number == 0x80
    kind = np.select([number == 0xCC, number == 0x8E], [IPV4, IPV6], NOTHING)
    kind = np.where(snap, u16(octets, at + 5 + padded), kind)
    return rows.onward(np.where(snap, 9, 4) + padded, kind)


def service_header(octets: bytes, rows: Rows, _: Headers) -> Rows:
    """Step over a Network Service Header (RFC 8300), whose length counts words."""
    rows = rows.with_room(8)
    following = u8(octets, rows.at + 3)
    kinds = [IPV4, IPV6, ETHERNET, 0x8847]
    kind = np.select([following == 1, following == 2, following == 3, following == 5], kinds, -1)
    return rows.onward((u8(octets, rows.at + 1) & 63) * 4, kind)


def _fixed(size: int, kind: int) -> Layer:
    def step(_octets: bytes, rows: Rows, _: Headers) -> Rows:
        return rows.with_room(size).onward(size, kind)

    return step


LINK_LAYERS: Final[dict[int, Layer]] = {
    LINK + 0: null,
    LINK + 1: ethernet,
    LINK + 9: ppp,
    LINK + 10: _fixed(13, _LLC),
    LINK + 12: raw_ip,
    LINK + 14: raw_ip,
    LINK + 50: ppp,
    LINK + 51: pppoe,
    LINK + 100: _fixed(0, _LLC),
    LINK + 101: raw_ip,
    LINK + 104: cisco_hdlc,
    LINK + 105: wireless,
    LINK + 107: frame_relay,
    LINK + 108: null,
    LINK + 109: _fixed(12, RAW_IP),
    LINK + 113: linux_sll,
    LINK + 117: packet_filter_log,
    LINK + 119: prism,
    LINK + 127: radiotap,
    LINK + 163: prism,
    LINK + 166: _fixed(2, PPP),
    LINK + 192: per_packet_information,
    LINK + 204: _fixed(1, PPP),
    LINK + 228: _fixed(0, IPV4),
    LINK + 229: _fixed(0, IPV6),
    LINK + 239: netfilter_log,
    LINK + 276: linux_sll2,
    PPP: ppp,
    _LLC: llc,
    _MPLS_INNER: under_mpls,
    0x0806: arp,
    0x8100: vlan,
    0x88A8: vlan,
    0x9100: vlan,
    0x9200: vlan,
    0x8926: vntag,
    0x8847: mpls,
    0x8848: mpls,
    0x8864: pppoe,
    0x6558: ethernet,
    0x88E7: _fixed(4, ETHERNET),
    0x894F: service_header,
}


def ether_types(values: Int64s) -> Int64s:
    """Give kinds for EtherTypes that a tunnel names (below 0x600 they are none)."""
    return np.where(values < 0x600, NOTHING, values)
