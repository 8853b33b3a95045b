"""Make the packets with which somebody might try to drown the sensor, each flood by its name."""

import random
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import count
from typing import Final

from tests.pipelines.network_frames import fragment, ipv4, tcp, udp

Frames = Iterator[bytes]
_chance = random.Random


def _address(number: int) -> str:
    return str(ip_address(0x0A00_0000 | number & 0xFF_FFFF))


def syn_flood() -> Frames:
    """Give SYNs from sources at random."""
    chance = _chance(1)
    while True:
        ends = struct.pack(">HHIIBBHHH", chance.randrange(65_536), 80, 9, 0, 0x50, 2, 9, 0, 0)
        yield ipv4(6, ends, src=_address(chance.randrange(1 << 24)))


def answered_syn_flood() -> Frames:
    """Give SYNs, a request's first bytes behind each, from ever other ports."""
    for number in count():
        port = 1_024 + number % 60_000
        yield tcp(sport=port, flags=2, seq=number)
        yield tcp(b"GET /", sport=port, seq=number + 1)


def tiny_segments() -> Frames:
    """Give a request's head byte by byte, head after head."""
    head = b"GET /" + b"a" * 15_000
    for number in count():
        for at, byte in enumerate(head):
            yield tcp(bytes([byte]), sport=1_024 + number, seq=1 + at)


def tiny_segments_shuffled() -> Frames:
    """Give a head byte by byte, sixteen at a time in the reverse order."""
    head = b"GET /" + b"a" * 15_000
    for number in count():
        sport = 1_024 + number
        yield tcp(head[:8], sport=sport, seq=1)
        for begin in range(8, len(head) - 16, 16):
            for at in range(begin + 15, begin - 1, -1):
                yield tcp(head[at : at + 1], sport=sport, seq=1 + at)


def overlapping_segments() -> Frames:
    """Give a head in segments of which each repeats all but a byte of the one before."""
    head = b"GET /" + b"a" * 15_000
    for number in count():
        for at in range(len(head) - 1_400):
            yield tcp(head[at : at + 1_400], sport=1_024 + number, seq=1 + at)


def early_segments() -> Frames:
    """Give a head's beginning and then only what stands behind a gap."""
    for number in count():
        sport = 1_024 + number
        yield tcp(b"GET /", sport=sport, seq=1)
        for at in range(16):
            yield tcp(b"a" * 1_000, sport=sport, seq=2_000 + at * 1_000)


def many_heads_in_turn() -> Frames:
    """Give a hundred heads at once, a byte of each in turn."""
    for number in count():
        for at in range(1_000):
            for one in range(100):
                begun = b"GET /aaa" if at == 0 else b"a"
                yield tcp(begun, sport=1_024 + number * 100 + one, seq=1 + at + 7 * (at > 0))


def short_lines() -> Frames:
    """Give answers whose heads are thousands of short lines."""
    head = b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 4_000
    for number in count():
        for at in range(0, len(head), 1_400):
            yield tcp(head[at : at + 1_400], sport=1_024 + number, seq=1 + at)


def pipelined_requests() -> Frames:
    """Give the shortest requests, as many as a segment holds."""
    body = b"GET / HTTP/1.1\r\n\r\n" * 77
    for number in count():
        yield tcp(body, seq=1 + number * len(body))


def http_chunks() -> Frames:
    """Give requests whose bodies come in chunks of one byte."""
    yield tcp(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", seq=1)
    at = 48
    while True:
        yield tcp(b"1\r\na\r\n" * 240, seq=at)
        at += 1_440


def tls_records_of_one_byte() -> Frames:
    """Give hellos in records of one byte each."""
    hello = b"\1\0\x3e\x80\3\3" + bytes(15_994)
    stream = (
        b"\x16\3\1\0\x04" + hello[:4] + b"".join(b"\x16\3\1\0\1" + bytes([b]) for b in hello[4:])
    )
    for number in count():
        for at in range(0, len(stream), 1_400):
            yield tcp(stream[at : at + 1_400], sport=1_024 + number, dport=443, seq=1 + at)


def hello_of_empty_extensions() -> Frames:
    """Give hellos of thousands of extensions without data."""
    for number in count():
        kinds = b"".join(struct.pack(">HH", (n * 7 + number) & 0xFFFF, 0) for n in range(3_500))
        body = b"\3\3" + bytes(33) + b"\0\2\x13\1\1\0" + struct.pack(">H", len(kinds)) + kinds
        message = b"\1" + len(body).to_bytes(3, "big") + body
        stream = b"\x16\3\1" + struct.pack(">H", len(message)) + message
        for at in range(0, len(stream), 1_400):
            yield tcp(stream[at : at + 1_400], sport=1_024 + number, dport=443, seq=1 + at)


def small_hellos() -> Frames:
    """Give the smallest hello, ever other ones, each a connection."""
    for number in count():
        body = b"\3\3" + bytes(33) + b"\0\2" + struct.pack(">H", number & 0xFFFF) + b"\1\0"
        message = b"\1" + len(body).to_bytes(3, "big") + body
        yield tcp(b"\x16\3\1" + struct.pack(">H", len(message)) + message, sport=number & 0xFFFF)


def certificates() -> Frames:
    """Give servers' hellos with ever other certificates, which are none."""
    server = b"\x16\3\3\0\x2a\2\0\0\x26\3\3" + bytes(33) + b"\xc0\x2f\0"
    for number in count():
        der = struct.pack(">I", number) + bytes(900)
        size = len(der)
        chain = b"\x0b" + (size + 6).to_bytes(3, "big") + (size + 3).to_bytes(3, "big")
        chain += size.to_bytes(3, "big") + der
        record = b"\x16\3\3" + struct.pack(">H", len(chain)) + chain
        yield tcp(server + record, sport=number & 0xFFFF, dport=443, back=True)


def dns_pointers() -> Frames:
    """Give answers of hundreds of names, each sixty pointers deep."""
    head = b"\0\1\x81\x80\0\1\1\0\0\0\0\0"
    chain = b"\1a\0" + b"".join(
        struct.pack(">H", 0xC000 | 12 + max(0, 2 * n + 1 - 2) if n else 0xC00C) for n in range(60)
    )
    question = chain[:3] + b"\0\1\0\1"
    pointers = b""
    # Pointers that lead back one after the other lie in the first answer's data.
    place = len(head) + len(question) + 12
    target = 12
    for _ in range(60):
        pointers += struct.pack(">H", 0xC000 | target)
        target = place + len(pointers) - 2
    deep = struct.pack(">H", 0xC000 | target)
    first = b"\xc0\x0c\0\x10\0\1\0\0\0\0" + struct.pack(">H", len(pointers)) + pointers
    rest = (deep + b"\0\5\0\1\0\0\0\0\0\2" + deep) * 90
    while True:
        yield udp(head + question + first + rest, dport=53)


def dns_labels() -> Frames:
    """Give questions of 64 names of a hundred labels each."""
    name = b"\1a" * 120 + b"\0"
    body = b"\0\1\1\0\0\x05\0\0\0\0\0\0" + (name + b"\0\1\0\1") * 5
    while True:
        yield udp(body, dport=53)


def dns_addresses() -> Frames:
    """Give answers of 90 addresses each."""
    body = b"\0\1\x81\x80\0\1\0\x5a\0\0\0\0\1a\0\0\1\0\1"
    body += b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4" * 90
    while True:
        yield udp(body, dport=53)


def dns_texts() -> Frames:
    """Give an answer of a text that is hundreds of empty strings."""
    body = b"\0\1\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\x10\0\1"
    body += b"\xc0\x0c\0\x10\0\1\0\0\0\0" + struct.pack(">H", 1_400) + bytes(1_400)
    while True:
        yield udp(body, dport=53)


def dns_broken_letters() -> Frames:
    """Give answers of a text of bytes that are no letters."""
    body = b"\0\1\x81\x80\0\1\0\5\0\0\0\0\1a\0\0\x10\0\1"
    body += (b"\xc0\x0c\0\x10\0\1\0\0\0\0" + struct.pack(">H", 256) + b"\xff" + b"\xff" * 255) * 5
    while True:
        yield udp(body, dport=53)


def dns_in_tcp() -> Frames:
    """Give the shortest questions over TCP, as many as a segment holds."""
    one = b"\0\x13\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
    for number in count():
        yield tcp(one * 60, dport=53, seq=1 + number * 60 * len(one))


def dns_in_tcp_bytes() -> Frames:
    """Give a long message over TCP byte by byte."""
    for number in count():
        yield tcp(
            b"\xff\xff" if number % 60_000 == 0 else b"a", dport=53, seq=1 + number + (number > 0)
        )


def dns_questions() -> Frames:
    """Give ordinary questions, each from another port."""
    for number in count():
        name = b"\7%07d\7example\0" % (number % 9_999_999)
        yield udp(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1", sport=number & 0xFFFF, dport=53)


def quic_initials() -> Frames:
    """Give Initial packets of ever other ids, which no key opens."""
    chance = _chance(2)
    while True:
        head = b"\xc3\0\0\0\1\x08" + chance.randbytes(8) + b"\0\0\x44\xaa"
        yield udp(head + bytes(1_194), sport=chance.randrange(65_536))


def quic_small_initials() -> Frames:
    """Give four small Initial packets a datagram, of ever other ids and ends."""
    chance = _chance(3)
    while True:
        yield udp(
            b"".join(
                b"\xc3\0\0\0\1\x08" + chance.randbytes(8) + b"\0\0\x40\x18" + bytes(24)
                for _ in range(4)
            ),
            sport=chance.randrange(65_536),
        )


def dtls_pieces() -> Frames:
    """Give DTLS hellos in pieces of one byte, eight records a datagram."""
    for number in count():
        body = b""
        for one in range(8):
            at = (number * 8 + one) % 15
            record = b"\1\0\1\0\0\0" + at.to_bytes(3, "big") + b"\0\0\1\0"
            body += b"\x16\xfe\xfd" + bytes(8) + struct.pack(">H", len(record)) + record
        yield udp(body, sport=(number // 2) & 0xFFFF)


def dhcp_options() -> Frames:
    """Give DHCP messages of hundreds of options without data."""
    head = b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63" + b"\x35\1\1"
    body = head + b"".join(bytes([12 + n % 200, 0]) for n in range(500))
    while True:
        yield udp(body, sport=68, dport=67)


def dhcp6_options() -> Frames:
    """Give DHCPv6 messages of hundreds of options without data, in eight relays."""
    body = b"\1\0\0\1" + b"\0\x27\0\0" * 300
    for _ in range(7):
        body = b"\x0c\0" + bytes(32) + b"\0\x09" + struct.pack(">H", len(body)) + body
    while True:
        yield udp(body, sport=546, dport=547)


def arp_storm() -> Frames:
    """Give ARP requests from senders at random."""
    chance = _chance(4)
    while True:
        yield (
            b"\xff" * 6 + bytes(6) + b"\x08\x06\0\1\x08\0\6\4\0\1"
            + chance.randbytes(10) + bytes(6) + chance.randbytes(4)
        )  # fmt: skip


def nested_gre() -> Frames:
    """Give GRE in IP in GRE, as deep as is looked."""
    body = struct.pack(">HHHH", 1, 9, 8, 0)
    frame = ipv4(17, body)
    for _ in range(11):
        frame = ipv4(47, b"\0\0\x08\0" + frame[14:])
    while True:
        yield frame


def nested_vxlan() -> Frames:
    """Give VXLAN in VXLAN, as deep as is looked."""
    frame = udp(b"x", dport=9)
    for _ in range(7):
        frame = udp(b"\x08" + bytes(7) + frame, dport=4789)
    while True:
        yield frame


def many_tags() -> Frames:
    """Give VLAN tags and MPLS labels, ever other mixtures of them."""
    chance = _chance(5)
    while True:
        kinds = [chance.choice((0x8100, 0x88A8, 0x9100)) for _ in range(20)]
        tags = b"".join(struct.pack(">HH", kind, 1) for kind in kinds)
        yield bytes(12) + tags + udp(b"x", dport=9)[12:]


def odd_extensions() -> Frames:
    """Give IPv6 with twenty extension headers of mixed kinds."""
    chance = _chance(6)
    ends = bytes(15) + b"\1" + bytes(15) + b"\2"
    while True:
        kinds = [chance.choice((0, 43, 60, 135)) for _ in range(20)]
        body = b"".join(bytes([kind, 0]) + bytes(6) for kind in [*kinds[1:], 17])
        body += struct.pack(">HHHH", 1, 9, 8, 0)
        head = b"\x60\0\0\0" + struct.pack(">H", len(body)) + bytes([kinds[0], 64])
        yield bytes(12) + b"\x86\xdd" + head + ends + body


def modbus_functions() -> Frames:
    """Give as many Modbus calls as a segment holds."""
    body = b"\0\1\0\0\0\2\1\7" * 182
    for number in count():
        yield tcp(body, dport=502, seq=1 + number * len(body))


def modbus_bytes() -> Frames:
    """Give Modbus byte by byte."""
    one = b"\0\1\0\0\0\2\1\7"
    for number in count():
        yield tcp(one[number % 8 :][:1], dport=502, seq=1 + number)


def cip_services() -> Frames:
    """Give EtherNet/IP with 64 services that hold 64 services each."""
    inner = (
        b"\x0a\0"
        + struct.pack("<H", 64)
        + b"".join(struct.pack("<H", 130) for _ in range(64))
        + b"\1\0" * 2
    )
    outer = (
        b"\x0a\0"
        + struct.pack("<H", 64)
        + b"".join(struct.pack("<H", 130) for _ in range(64))
        + inner
    )
    items = b"\2\0\0\0\0\0\xb2\0" + struct.pack("<H", len(outer)) + outer
    body = b"\x6f\0" + struct.pack("<H", 6 + len(items)) + bytes(20) + bytes(6) + items
    for number in count():
        yield tcp(body, dport=44_818, seq=1 + number * len(body))


def dnp3_frames() -> Frames:
    """Give as many DNP3 frames as a segment holds."""
    one = b"\x05\x64\x08\xc4\1\0\2\0\0\0\xc0\xc0\1\0\0"
    for number in count():
        yield tcp(one * 97, dport=20_000, seq=1 + number * len(one) * 97)


def industrial_datagrams() -> Frames:
    """Give as many DNP3 frames as a datagram holds."""
    while True:
        yield udp(b"\x05\x64\x08\xc4\1\0\2\0\0\0\xc0\xc0\1\0\0" * 97, dport=20_000)


def s7_frames() -> Frames:
    """Give as many S7 calls as a segment holds."""
    one = b"\3\0\0\x12\2\xf0\x80\x32\1\0\0\0\1\0\1\0\0\4"
    for number in count():
        yield tcp(one * 80, dport=102, seq=1 + number * len(one) * 80)


_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def _http2(body: bytes) -> Frames:
    yield tcp(_PREFACE, dport=8_080, seq=1)
    at = 1 + len(_PREFACE)
    while True:
        yield tcp(body, dport=8_080, seq=at)
        at += len(body)


def http2_empty_data() -> Frames:
    """Give DATA frames without data."""
    return _http2(b"\0\0\0\0\0\0\0\0\1" * 160)


def http2_settings() -> Frames:
    """Give empty SETTINGS."""
    return _http2(b"\0\0\0\4\0\0\0\0\0" * 160)


def http2_pings() -> Frames:
    """Give PINGs."""
    return _http2(
        b"\0\0\x08\6\0\0\0\0\0" * 1 + bytes(8) + (b"\0\0\x08\6\0\0\0\0\0" + bytes(8)) * 80
    )


def http2_small_requests() -> Frames:
    """Give requests of three bytes."""
    return _http2(b"\0\0\3\1\5\0\0\0\1\x82\x86\x84" * 120)


def http2_continuations() -> Frames:
    """Give header blocks in 60 empty pieces."""
    piece = b"\0\0\0\x09\0\0\0\0\1"
    return _http2((b"\0\0\1\1\0\0\0\0\1\x82" + piece * 60 + b"\0\0\0\x09\4\0\0\0\1") * 2)


def http2_indexed_fields() -> Frames:
    """Give blocks of a thousand fields of one byte."""
    return _http2(b"\0\x05\0\1\5\0\0\0\1" + b"\x82" * 1_280)


def http2_table_evictions() -> Frames:
    """Give fields that are kept, each of which drives another one out of the table."""
    body = b"".join(
        b"\x40\1" + bytes([97 + n % 26]) + b"\1" + bytes([97 + n // 26 % 26]) for n in range(250)
    )
    return _http2(b"\0" + struct.pack(">H", len(body)) + b"\1\5\0\0\0\1" + body)


def http2_huffman() -> Frames:
    """Give a field of a packed text in each frame, ever other ones."""
    chance = _chance(7)
    yield tcp(_PREFACE, dport=8_080, seq=1)
    at = 1 + len(_PREFACE)
    while True:
        # Letters of six bits: any four of them are three bytes without an end to pad.
        letters = [chance.randrange(0b010100, 0b101110) for _ in range(1_600)]
        bits = int("".join(f"{letter:06b}" for letter in letters), 2)
        value = bits.to_bytes(1_200, "big")
        size = b"\xff" + bytes([0x80 | (1_200 - 127) & 0x7F, (1_200 - 127) >> 7])
        field = b"\0\1a" + size + value
        body = b"\0" + struct.pack(">H", len(field)) + b"\1\5\0\0\0\1" + field
        yield tcp(body, dport=8_080, seq=at)
        at += len(body)


def fragments_tiny() -> Frames:
    """Give datagrams in fragments of eight bytes."""
    data = udp(bytes(8_000), dport=9)[34:]
    for number in count():
        for at in range(0, len(data), 8):
            yield fragment(number, at, data[at : at + 8], more=at + 8 < len(data))


def fragments_alone() -> Frames:
    """Give fragments of ever other datagrams, of which nothing more comes."""
    for number in count():
        yield fragment(number, 0, struct.pack(">HHHH", number & 0xFFFF, 9, 64, 0), more=True)


def fragments_shuffled() -> Frames:
    """Give fragments of eight bytes, their order at random."""
    chance = _chance(8)
    data = udp(bytes(8_000), dport=9)[34:]
    places = list(range(0, len(data), 8))
    for number in count():
        chance.shuffle(places)
        for at in places:
            yield fragment(number, at, data[at : at + 8], more=at + 8 < len(data))


def fragments_overlapping() -> Frames:
    """Give fragments with gaps of eight bytes, then long ones over all of the gaps."""
    for number in count():
        for at in range(16, 1_600, 16):
            yield fragment(number, at, bytes(8), more=True)
        for _ in range(50):
            yield fragment(number, 8, bytes(1_400), more=True)


def fragments_repeated() -> Frames:
    """Give a whole datagram's fragment again and again."""
    data = udp(bytes(64), dport=9)[34:]
    yield fragment(1, 0, data[:40], more=True)
    while True:
        yield fragment(1, 40, data[40:], more=False)


def ssh_banners() -> Frames:
    """Give banners, ever other connections."""
    for number in count():
        yield tcp(b"SSH-2.0-x\r\n", sport=number & 0xFFFF, dport=22)


def empty_acks() -> Frames:
    """Give segments without data between ever other ports."""
    for number in count():
        yield tcp(sport=number & 0xFFFF, dport=number >> 16, flags=16)


def ssdp_searches() -> Frames:
    """Give SSDP searches."""
    for number in count():
        body = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: a\r\n\r\n"
        yield udp(body, sport=number & 0xFFFF, dport=1_900)


def datagrams() -> Frames:
    """Give datagrams between two ends: no flood, the least that a packet costs."""
    while True:
        yield udp(b"x" * 20, dport=9)


FLOODS: Final[dict[str, Callable[[], Frames]]] = {
    name: make
    for name, make in list(globals().items())
    if callable(make)
    and not name.startswith("_")
    and getattr(make, "__module__", "") == __name__
    and name != "FLOODS"
}
