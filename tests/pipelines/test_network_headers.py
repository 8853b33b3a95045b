import struct
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import GRE, LLC, SNAP, CookedLinux, Dot1AD, Dot1Q, Dot3, Ether, Loopback
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from pipelines.network.capture import read_packets
from pipelines.network.headers import Headers, read_headers
from pipelines.network.packets import PacketBlock
from pipelines.network.tunnels import LAYERS

V4 = IP(src="192.0.2.1", dst="198.51.100.7")
V6 = IPv6(src="2001:db8::1", dst="2001:db8:ffff::7")
BASE = TCP(sport=40_000, dport=443, flags="S", seq=0xFFFFFFFE) / Raw(b"hello")
# With addresses given, or scapy would ask the network for them.
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def ether(kind: int) -> Packet:
    return Ether(src=ETHER.src, dst=ETHER.dst, type=kind)


OUTER = IP(src="10.0.0.1", dst="10.0.0.2")


def capture(packets: Sequence[Packet | bytes], link: int = 1) -> bytes:
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link)
    for packet in map(bytes, packets):
        out += struct.pack("<IIII", 1_700_000_000, 0, len(packet), len(packet)) + packet
    return out


def read(packets: Sequence[Packet | bytes], link: int = 1) -> tuple[PacketBlock, Headers]:
    (block,) = read_packets([capture(packets, link)])
    return block, read_headers(block, LAYERS)


def ends(packet: Packet | bytes, link: int = 1) -> tuple[str, int, str, int, int]:
    _, h = read([packet], link)
    kind = {4: lambda high, low: low, 6: lambda high, low: high << 64 | low}
    version = int(h.version[0])
    if not version:
        return "", 0, "", 0, 0
    size = 4 if version == 4 else 16
    src = ip_address(kind[version](int(h.src_high[0]), int(h.src_low[0])).to_bytes(size, "big"))
    dst = ip_address(kind[version](int(h.dst_high[0]), int(h.dst_low[0])).to_bytes(size, "big"))
    return str(src), int(h.src_port[0]), str(dst), int(h.dst_port[0]), int(h.protocol[0])


WANTED = {4: ("192.0.2.1", 40_000, "198.51.100.7", 443, 6),
          6: ("2001:db8::1", 40_000, "2001:db8:ffff::7", 443, 6)}  # fmt: skip

FRAMED = {
    "ethernet": (ETHER / V4 / BASE, 4),
    "ethernet 6": (ETHER / V6 / BASE, 6),
    "vlan": (ETHER / Dot1Q(vlan=7) / V4 / BASE, 4),
    "qinq": (ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=8) / V6 / BASE, 6),
    "mpls": (ether(0x8847) / MPLS(s=0, label=3) / MPLS(s=1, label=9) / V4 / BASE, 4),
    "pppoe": (ether(0x8864) / PPPoE() / PPP(proto=0x21) / V4 / BASE, 4),
    "snap": (Dot3(src=ETHER.src, dst=ETHER.dst) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
             / SNAP(code=0x800) / V4 / BASE, 4),
    "options": (ETHER / IP(src=V4.src, dst=V4.dst, options=[b"\x94\x04\0\0"]) / BASE, 4),
    "extensions": (ETHER / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting()
                   / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment() / BASE, 6),
    "ip in ip": (ETHER / OUTER / V4 / BASE, 4),
    "6in4": (ETHER / OUTER / V6 / BASE, 6),
    "4in6": (ETHER / IPv6() / V4 / BASE, 4),
    "gre": (ETHER / OUTER / GRE(key_present=1, seqnum_present=1) / V4 / BASE, 4),
    "gre ethernet": (ETHER / OUTER / GRE(proto=0x6558) / ETHER / V6 / BASE, 6),
    "vxlan": (ETHER / OUTER / UDP(dport=4789) / VXLAN(vni=5) / ETHER / V4 / BASE, 4),
    "geneve": (ETHER / OUTER / UDP(dport=6081) / GENEVE() / ETHER / V4 / BASE, 4),
    "gtp": (ETHER / OUTER / UDP(dport=2152) / GTP_U_Header(teid=1) / V4 / BASE, 4),
    "teredo": (ETHER / OUTER / UDP(sport=3544, dport=3544) / V6 / BASE, 6),
    "vxlan gpe": (ETHER / OUTER / UDP(dport=4790) / Raw(b"\x0c\0\0\1" + bytes(4)) / V4 / BASE, 4),
    "ether ip": (ETHER / IP(src="10.0.0.1", dst="10.0.0.2", proto=97) / Raw(b"\x30\0")
                 / ETHER / V4 / BASE, 4),
    "mpls in udp": (ETHER / OUTER / UDP(dport=6635) / MPLS(s=1, label=9) / V4 / BASE, 4),
    "l2tp": (ETHER / OUTER / UDP(sport=1701, dport=1701)
             / Raw(b"\x4a\2\0\1\0\7\0\7\0\1\0\2\0\2\0\0\xff\3\0\x21") / V4 / BASE, 4),
    "mac in mac": (ether(0x88E7) / Raw(bytes(4)) / ETHER / V4 / BASE, 4),
    "service header": (ether(0x894F) / Raw(b"\x0f\xc6\1\3" + bytes(20)) / ETHER / V4 / BASE, 4),
    "nested": (ETHER / OUTER / GRE() / OUTER / UDP(dport=4789) / VXLAN() / ETHER
               / Dot1Q() / V6 / BASE, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMED)
def test_innermost_ends_are_found_under(name: str) -> None:
    packet, version = FRAMED[name]
    assert ends(packet) == WANTED[version]


@pytest.mark.parametrize(
    ("link", "packet", "version"),
    [
        (0, Loopback(type=2) / V4 / BASE, 4),
        (0, b"\0\0\0\x1e" + bytes(V6 / BASE), 6),
        (9, b"\xff\x03\x00\x21" + bytes(V4 / BASE), 4),
        (10, b"\x50" + bytes(12) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(V4 / BASE), 4),
        (12, V4 / BASE, 4),
        (100, b"\xaa\xaa\x03\0\0\0\x86\xdd" + bytes(V6 / BASE), 6),
        (101, V6 / BASE, 6),
        (104, b"\x0f\x00\x08\x00" + bytes(V4 / BASE), 4),
        (105, b"\x88\x01" + bytes(24) + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(V4 / BASE), 4),
        (107, b"\x18\x41\x03\xcc" + bytes(V4 / BASE), 4),
        (107, b"\x18\x41\x03\0\x80\0\0\0\x86\xdd" + bytes(V6 / BASE), 6),
        (117, b"\x3d\x1c" + bytes(62) + bytes(V6 / BASE), 6),
        (119, b"\x44\0\0\0\x90\0\0\0" + bytes(136) + b"\x08\x01" + bytes(22)
         + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(V4 / BASE), 4),
        (163, b"\x80\x21\x10\2\0\0\0\x40" + bytes(56) + b"\x08\x01" + bytes(22)
         + b"\xaa\xaa\x03\0\0\0\x08\0" + bytes(V4 / BASE), 4),
        (113, CookedLinux() / V4 / BASE, 4),
        (127, b"\0\0\x08\0\0\0\0\0\x08\x01" + bytes(22) + b"\xaa\xaa\x03\0\0\0\x08\0"
         + bytes(V4 / BASE), 4),
        (166, b"\0\1\0\x21" + bytes(V4 / BASE), 4),
        (204, b"\0\xff\x03\0\x57" + bytes(V6 / BASE), 6),
        (228, V4 / BASE, 4),
        (229, V6 / BASE, 6),
        (239, b"\2\0\0\1" + b"\x08\0\1\0abcd" + b"\x05\0\x0a\0p\0\0\0" + b"\x30\0\x09\0"
         + bytes(V4 / BASE), 4),
        (276, b"\x86\xdd" + bytes(18) + bytes(V6 / BASE), 6),
    ],
)  # fmt: skip
def test_ends_are_found_on_link_type(link: int, packet: Packet | bytes, version: int) -> None:
    assert ends(packet, link) == WANTED[version]


def test_a_link_type_that_a_packet_names_itself_may_be_any_number() -> None:
    _, headers = read([struct.pack("<BBHI", 0, 0, 8, link) + bytes(V4 / BASE)
                       for link in (0xFFFFFFFF, 0x70000, 147, 1)], 192)  # fmt: skip
    assert headers.version.tolist() == [0, 0, 0, 0]
    assert headers.unknown_links == {147, 0x70000, 0xFFFFFFFF}


def test_tunnel_port_without_a_tunnel_keeps_the_outer_ends() -> None:
    packet = ETHER / OUTER / UDP(sport=1, dport=4789) / Raw(b"\x08" + bytes(40))
    assert ends(packet) == ("10.0.0.1", 1, "10.0.0.2", 4789, 17)


def test_nesting_without_end_stops() -> None:
    packet: Packet = V4 / BASE
    for _ in range(60):
        packet = OUTER / packet
    assert ends(ETHER / packet)[0] == "10.0.0.1"


def test_icmp_type_and_its_answer_stand_for_ports() -> None:
    assert ends(ETHER / V4 / ICMP(type=8))[1::2] == (8, 0)
    assert ends(ETHER / V4 / ICMP(type=3, code=13))[1::2] == (3, 13)


def test_payload_ends_where_ip_says_not_at_the_padding() -> None:
    block, h = read([bytes(ETHER / V4 / BASE) + bytes(20)])
    assert block.octets[h.payload[0] : h.payload_end[0]] == b"hello"
    assert (int(h.tcp_flags[0]), int(h.sequence[0])) == (2, 0xFFFFFFFE)


addresses = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(
    st.ip_addresses(v=6), st.ip_addresses(v=6)
)
ports = st.integers(0, 65_535).filter(lambda p: p not in (2152, 3544, 4789, 6081, 8472))


@given(addresses, ports, ports, st.booleans(), st.binary(max_size=40), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_any_packet_scapy_makes_is_read_to_the_same_ends_and_lengths(
    pair: tuple[object, object], src: int, dst: int, is_tcp: bool, body: bytes, tags: int
) -> None:
    src_ip, dst_ip = (str(a) for a in pair)
    frame: Packet = ETHER.copy()
    for tag in range(tags):
        frame = frame / Dot1Q(vlan=tag + 1)
    frame = frame / (IPv6 if ":" in src_ip else IP)(src=src_ip, dst=dst_ip)
    frame = frame / (TCP if is_tcp else UDP)(sport=src, dport=dst) / Raw(body)
    assert ends(frame) == (src_ip, src, dst_ip, dst, 6 if is_tcp else 17)
    block, h = read([frame])
    assert block.wire.tolist() == [len(bytes(frame))]
    assert block.octets[h.payload[0] : h.payload_end[0]] == body


@given(st.sampled_from(sorted(FRAMED)), st.binary(max_size=60), st.integers(0, 140))
@settings(max_examples=200, deadline=None)
def test_damaged_packets_never_raise_and_never_reach_beyond_their_end(
    name: str, garbage: bytes, keep: int
) -> None:
    packet = bytes(FRAMED[name][0])[:keep] + garbage
    block, h = read([packet or b"\0", packet or b"\0"])
    assert (h.payload_end <= block.start + block.captured).all()
    assert (h.payload <= h.payload_end).all()
