"""Make Ethernet frames and captures by hand, quickly; and mutants of captures."""

import random
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import pairwise

from pipelines.network.capture import read_packets
from pipelines.network.sensor import watch
from pipelines.network.sightings import Sighting

CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
ETHERNET = bytes(12) + b"\x08\x00"


def ipv4(protocol: int, body: bytes, src: str = CLIENT, dst: str = SERVER) -> bytes:
    """Make a frame."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    return ETHERNET + head + ip_address(src).packed + ip_address(dst).packed + body


def tcp(
    payload: bytes = b"", *, sport: int = 40_000, dport: int = 80, seq: int = 1, flags: int = 24,
    back: bool = False,
) -> bytes:  # fmt: skip
    """Make a TCP segment; `back`: from the server."""
    src, dst, ports = (SERVER, CLIENT, (dport, sport)) if back else (CLIENT, SERVER, (sport, dport))
    head = struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, 0, 0x50, flags, 1_000, 0, 0)
    return ipv4(6, head + payload, src, dst)


def udp(payload: bytes, *, sport: int = 40_000, dport: int = 443, back: bool = False) -> bytes:
    """Make a UDP datagram."""
    src, dst, ports = (SERVER, CLIENT, (dport, sport)) if back else (CLIENT, SERVER, (sport, dport))
    return ipv4(17, struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload, src, dst)


def fragment(number: int, at: int, data: bytes, *, more: bool) -> bytes:
    """Make a fragment of a datagram that has this number."""
    head = struct.pack(
        ">BBHHHBBH", 0x45, 0, 20 + len(data), number & 0xFFFF, at >> 3 | 0x2000 * more, 64, 17, 0
    )
    return ETHERNET + head + ip_address(CLIENT).packed + ip_address(SERVER).packed + data


def capture(frames: Iterable[bytes], *, link: int = 1) -> bytes:
    """Make a pcap file of the frames, one a second."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, link)]
    for second, frame in enumerate(frames):
        out += (struct.pack("<IIII", second, 0, len(frame), len(frame)), frame)
    return b"".join(out)


def seen(frames: Iterable[bytes]) -> list[Sighting]:
    """Give what the sensor reads of the frames."""
    return [row for part in watch([capture(frames)], flows=False, dns=False) for row in part.others]


def segments(
    payload: bytes, cuts: Iterable[int], *, dport: int = 80, first: int = 0xFFFFFFF0
) -> list[bytes]:
    """Cut a client's bytes into segments; the sequence numbers pass zero."""
    places = [0, *sorted({c for c in cuts if 0 < c < len(payload)}), len(payload)]
    return [tcp(payload[a:b], seq=first + a, dport=dport) for a, b in pairwise(places)]


def packets_of(data: bytes) -> tuple[int, list[bytes]]:
    """Give the link type and the packets of a capture (of the first link type in it)."""
    found: list[bytes] = []
    link = -1
    for block in read_packets([data]):
        link = int(block.link[0]) if link < 0 else link
        for row in range(len(block)):
            if block.link[row] == link:
                start = int(block.start[row])
                found.append(block.octets[start : start + int(block.captured[row])])
    return link, found


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Give that many captures in each of which something is broken on purpose."""
    link, packets = packets_of(data)
    chance = random.Random(seed)
    for _ in range(count):
        changed = list(packets)
        for _ in range(chance.randint(1, 8)):
            _break(changed, chance)
        yield capture(changed, link=link)


def _break(packets: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(packets))
    octets = bytearray(packets[at])
    place = chance.randrange(len(octets) or 1)
    kind = chance.randrange(7)
    if kind == 0 and octets:
        octets[place] ^= 1 << chance.randrange(8)
    elif kind == 1 and octets:
        octets[place] = chance.choice((0, 0x7F, 0x80, 0xC0, 0xFF))
    elif kind == 2:
        del octets[place:]
    elif kind == 3:
        octets[place : place + 2] = chance.choice((b"\0\0", b"\xff\xff", b"\0\1"))
    elif kind == 4:
        octets[place:] = chance.choice(packets)[place:]
    elif kind == 5:
        octets[place:place] = chance.randbytes(chance.randint(1, 40))
    else:
        other = chance.randrange(len(packets))
        packets[at], packets[other] = packets[other], packets[at]
        return
    packets[at] = bytes(octets)
