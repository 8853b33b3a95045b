"""Walk the blocks of a pcapng file: sections, interfaces with their clocks, packets.

Format: draft-ietf-opsawg-pcapng. Packets stand in Enhanced, Simple and (obsolete) Packet Blocks.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipelines.network.packets import Int64s, PacketBlock, field_at
from storage.errors import InvalidBatch

_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_OLD_PACKET: Final = 2
_SIMPLE: Final = 3
_ENHANCED: Final = 6
_MAX_BLOCK_BYTES: Final = 16 << 20
_MAX_INTERFACES: Final = 65_536
_LAST_NS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    snap: int
    resolution: int  # if_tsresol: 10^-n, or 2^-n with the highest bit set
    offset_s: int


@dataclass(slots=True)
class _Found:
    """Gather the packet blocks of one byte order: offset, kind, interface of each."""

    at: list[int] = field(default_factory=list)
    interface: list[int] = field(default_factory=list)
    simple: list[int] = field(default_factory=list)  # indexes into `at`


class PcapngReader:
    """Walk a pcapng file that is handed over piece by piece."""

    def __init__(self) -> None:
        """Begin before the first section."""
        self.packets = 0
        self._order = "<"
        self._interfaces: list[_Interface] = []
        self._last_ns = 0

    def take(self, data: bytes, at: int, end: int) -> Iterator[tuple[PacketBlock, int]]:
        """Give the packets of the whole blocks between `at` and `end`, and how far that was.

        PADDING bytes lie behind `end`. InvalidBatch, after what was readable, where a block
        contradicts the format.
        """
        found = _Found()
        problem = ""
        while at + 12 <= end and not problem:
            kind = struct.unpack_from(self._order + "I", data, at)[0]
            if kind == _SECTION:
                yield self._block(data, found), at
                found = _Found()
                self._begin_section(data, at)
            size = struct.unpack_from(self._order + "I", data, at + 4)[0]
            if size < 12 or size % 4 or size > _MAX_BLOCK_BYTES:
                problem = f"block behind packet {self.packets} claims {size} bytes"
            elif at + size > end:
                break
            elif struct.unpack_from(self._order + "I", data, at + size - 4)[0] != size:
                problem = f"block behind packet {self.packets} ends with another length"
            else:
                problem = self._block_found(kind, data, at, size, found)
                at += 0 if problem else size
        yield self._block(data, found), at
        if problem:
            raise InvalidBatch(
                f"{problem}: the capture is damaged there", format="pcap", row=self.packets
            )

    def _begin_section(self, data: bytes, at: int) -> None:
        magic = data[at + 8 : at + 12]
        if magic not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
            raise InvalidBatch("a section has no byte-order mark", format="pcap", row=self.packets)
        self._order = "<" if magic[0] == 0x4D else ">"
        self._interfaces = []

    def _block_found(self, kind: int, data: bytes, at: int, size: int, found: _Found) -> str:
        """Note what the block at `at` says; a problem in words, or ''."""
        if kind == _INTERFACE:
            if size < 20 or len(self._interfaces) >= _MAX_INTERFACES:
                return f"interface {len(self._interfaces)} cannot be read"
            self._interfaces.append(_interface(self._order, data[at + 8 : at + size - 4]))
            return ""
        if kind not in (_ENHANCED, _OLD_PACKET, _SIMPLE):
            return ""
        if size < (16 if kind == _SIMPLE else 32):
            return f"packet {self.packets} is too short for its own head"
        number = 0
        if kind != _SIMPLE:
            width = "I" if kind == _ENHANCED else "H"
            number = struct.unpack_from(self._order + width, data, at + 8)[0]
            kept = struct.unpack_from(self._order + "I", data, at + 20)[0]
            if kept > size - 32:
                return f"packet {self.packets} claims more bytes than its block has"
        if number >= len(self._interfaces):
            return f"packet {self.packets} names interface {number}, which does not exist"
        if kind == _SIMPLE:
            found.simple.append(len(found.at))
        found.at.append(at)
        found.interface.append(number)
        self.packets += 1
        return ""

    def _block(self, octets: bytes, found: _Found) -> PacketBlock:
        at = np.array(found.at, np.int64)
        interface = np.array(found.interface, np.int64)
        links = np.array([i.link for i in self._interfaces] or [0], np.int64)
        word = self._order + "u4"
        ticks = (field_at(octets, word, at + 12) << 32) | field_at(octets, word, at + 16)
        captured = field_at(octets, word, at + 20)
        wire = field_at(octets, word, at + 24)
        start = at + 28
        time_ns = self._times(ticks.astype(np.uint64), interface)
        if found.simple:
            rows = np.array(found.simple, np.int64)
            whole = field_at(octets, word, at[rows] + 8)
            room = field_at(octets, word, at[rows] + 4) - 16
            snap = self._interfaces[0].snap or _MAX_BLOCK_BYTES
            captured[rows] = np.minimum(np.minimum(whole, room), snap)
            wire[rows], start[rows] = whole, at[rows] + 12
            # A simple packet has no time of its own: it takes that of the packet before it.
            time_ns[rows] = 0
            time_ns = np.maximum.accumulate(np.where(time_ns == 0, self._last_ns, time_ns))
        if len(at):
            self._last_ns = int(time_ns[-1])
        return PacketBlock(octets, start, captured, wire, time_ns, links[interface])

    def _times(self, ticks: np.typing.NDArray[np.uint64], interface: Int64s) -> Int64s:
        time_ns = np.zeros(len(ticks), np.int64)
        for number in np.unique(interface):
            known = self._interfaces[int(number)]
            rows = interface == number
            seconds, fraction = _ticks_to_ns(ticks[rows], known.resolution)
            seconds = np.minimum(seconds, np.uint64(_LAST_NS // 1_000_000_000 - 1))
            total = seconds.astype(np.int64) * 1_000_000_000 + fraction.astype(np.int64)
            time_ns[rows] = np.clip(total + known.offset_s * 1_000_000_000, -_LAST_NS, _LAST_NS)
        return time_ns


def _ticks_to_ns(
    ticks: np.typing.NDArray[np.uint64], resolution: int
) -> tuple[np.typing.NDArray[np.uint64], np.typing.NDArray[np.uint64]]:
    """Give whole seconds and nanoseconds of clock ticks."""
    power = resolution & 0x7F
    if resolution & 0x80:
        shift = np.uint64(min(power, 63))
        fraction = ticks & np.uint64((1 << int(shift)) - 1)
        keep = np.uint64(min(int(shift), 32))
        return ticks >> shift, ((fraction >> (shift - keep)) * np.uint64(1_000_000_000) >> keep)
    per_second = 10 ** min(power, 19)
    seconds, fraction = ticks // np.uint64(per_second), ticks % np.uint64(per_second)
    if power <= 9:
        return seconds, fraction * np.uint64(10 ** (9 - power))
    return seconds, fraction // np.uint64(10 ** (min(power, 19) - 9))


def _interface(order: str, body: bytes) -> _Interface:
    """Read an interface description: link type, snap length, clock resolution and offset."""
    link, _, snap = struct.unpack_from(order + "HHI", body)
    resolution, offset_s, at = 6, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0:
            break
        if code == 9 and len(value) == 1:
            resolution = value[0]
        elif code == 14 and len(value) == 8:
            offset_s = struct.unpack(order + "q", value)[0]
        at += 4 + size + (-size % 4)
    return _Interface(link, snap, resolution, max(-(1 << 31), min(offset_s, 1 << 32)))
