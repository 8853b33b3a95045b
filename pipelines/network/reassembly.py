"""Put IP fragments together, so that a message cut by them is read as if it had come whole.

Only datagrams that carry TCP or UDP, and only for the readers of protocols: flows count packets as
they came. Of bytes that come twice the first stay; a whole datagram is held so long, too, that its
fragments' copies are known. State: MAX_DATAGRAMS unfinished datagrams and
MAX_HELD_BYTES, for WAIT_S of the capture's time; beyond that the oldest are given as far as they
go.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipelines.network.headers import (
    COLUMNS,
    LATER_FRAGMENT,
    LINK,
    Headers,
    Layer,
    read_headers,
)
from pipelines.network.internet import TCP, UDP
from pipelines.network.links import RAW_IP
from pipelines.network.packets import PADDING, Int64s, PacketBlock

MAX_DATAGRAMS: Final = 1_024
MAX_HELD_BYTES: Final = 8 << 20
WAIT_S: Final = 30
MAX_DATAGRAM: Final = 65_535

_Key = tuple[int, ...]
_KEY: Final = (
    "version", "protocol", "src_high", "src_low", "dst_high", "dst_low", "fragment_id",
)  # fmt: skip
_OFFSETS: Final = ("payload", "payload_end")


class _Datagram:
    """Hold the bytes of one datagram behind its IP head, and which of them are there."""

    __slots__ = ("bytes", "is_done", "is_there", "last_ns", "size")

    def __init__(self) -> None:
        self.bytes, self.is_there = bytearray(), bytearray()
        self.is_done = False
        self.size = -1
        self.last_ns = 0

    def add(self, offset: int, data: bytes, *, has_more: bool) -> None:
        """Take a fragment; of bytes that are there the first stay."""
        end = offset + len(data)
        if end > MAX_DATAGRAM:
            return
        if not has_more and self.size < 0:
            self.size = end
        if end > len(self.bytes):
            more = bytes(end - len(self.bytes))
            self.bytes += more
            self.is_there += more
        known = self.is_there.count(1, offset, end)
        if known == len(data):
            return
        if known:
            new = np.frombuffer(data, np.uint8)
            old = np.frombuffer(bytes(self.bytes[offset:end]), np.uint8)
            is_old = np.frombuffer(bytes(self.is_there[offset:end]), np.bool_)
            data = np.where(is_old, old, new).tobytes()
        self.bytes[offset:end] = data
        self.is_there[offset:end] = b"\1" * len(data)

    @property
    def is_whole(self) -> bool:
        """Tell whether every byte up to the last fragment's end is there."""
        return self.size >= 0 and self.is_there.find(0, 0, self.size) < 0 <= self.size <= len(
            self.bytes
        )

    def beginning(self) -> bytes:
        """Give the bytes up to the first gap."""
        gap = self.is_there.find(0)
        end = gap if gap >= 0 else len(self.bytes)
        return bytes(self.bytes[: end if self.size < 0 else min(end, self.size)])


class Reassembly:
    """Put fragments together block by block."""

    def __init__(self, layers: Mapping[int, Layer]) -> None:
        """Begin with nothing held; `layers` as `read_headers` takes them."""
        self._layers = layers
        self._held: dict[_Key, _Datagram] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Give the bytes of unfinished datagrams."""
        return self._bytes

    def whole(self, block: PacketBlock, headers: Headers) -> PacketBlock:
        """Let the packet that completes a datagram stand for all of it, in `headers` too.

        The other fragments become LATER_FRAGMENTs, which nobody reads. Gives the block to read.
        """
        carries = (headers.protocol == TCP) | (headers.protocol == UDP)
        rows = np.flatnonzero((headers.fragment != 0) & carries)
        if not len(rows):
            return block
        keys = zip(*(getattr(headers, name)[rows].tolist() for name in _KEY), strict=True)
        places = zip(
            rows.tolist(), headers.fragment_at[rows].tolist(), headers.fragment_end[rows].tolist(),
            headers.fragment_offset[rows].tolist(), block.time_ns[rows].tolist(), strict=True,
        )  # fmt: skip
        complete: list[tuple[int, bytes]] = []
        for key, (row, at, end, offset, time_ns) in zip(keys, places, strict=True):
            one = self._held.setdefault(key, _Datagram())
            data = block.octets[at:end]
            if one.is_done:
                if one.bytes.startswith(data, offset & ~7):
                    continue  # a copy of what was read
                self._forget(key)
                one = self._held[key] = _Datagram()
            before = len(one.bytes)
            one.add(offset & ~7, data, has_more=bool(offset & 1))
            one.last_ns = time_ns
            self._bytes += len(one.bytes) - before
            if one.is_whole:
                complete.append((row, _packet(key, one.beginning())))
                one.is_there, one.is_done = bytearray(), True
        headers.fragment[rows] = LATER_FRAGMENT
        return self._replaced(block, headers, complete) if complete else block

    def given_up(self, now_ns: int | None = None) -> tuple[PacketBlock, Headers] | None:
        """Give the beginnings of what waits too long or has no room; without `now_ns` of all."""
        late: list[tuple[int, bytes]] = []
        for key in list(self._held):
            one = self._held[key]
            is_full = len(self._held) > MAX_DATAGRAMS or self._bytes > MAX_HELD_BYTES
            if now_ns is None or is_full or now_ns - one.last_ns > WAIT_S * 1_000_000_000:
                if one.is_there[:1] == b"\1":
                    late.append((one.last_ns, _packet(key, one.beginning())))
                self._forget(key)
        if not late:
            return None
        block = _block([packet for _, packet in late], [time_ns for time_ns, _ in late])
        return block, read_headers(block, self._layers)

    def _forget(self, key: _Key) -> None:
        self._bytes -= len(self._held.pop(key).bytes)

    def _replaced(
        self, block: PacketBlock, headers: Headers, complete: list[tuple[int, bytes]]
    ) -> PacketBlock:
        rows: Int64s = np.array([row for row, _ in complete], np.int64)
        whole = _block([packet for _, packet in complete], block.time_ns[rows].tolist())
        theirs = read_headers(whole, self._layers)
        behind = len(block.octets) - PADDING
        for name in COLUMNS:
            column = getattr(theirs, name)
            moved = column + np.where(column > 0, behind, 0) if name in _OFFSETS else column
            getattr(headers, name)[rows] = moved
        octets = block.octets[:behind] + whole.octets
        return PacketBlock(
            octets, block.start, block.captured, block.wire, block.time_ns, block.link
        )


def _block(packets: list[bytes], times_ns: list[int]) -> PacketBlock:
    sizes = np.array([len(packet) for packet in packets], np.int64)
    return PacketBlock(
        octets=b"".join((*packets, bytes(PADDING))),
        start=np.cumsum(sizes) - sizes,
        captured=sizes,
        wire=sizes,
        time_ns=np.array(times_ns, np.int64),
        link=np.full(len(packets), RAW_IP - LINK, np.int64),
    )


def _packet(key: _Key, data: bytes) -> bytes:
    """Write an IP packet without options or fragments around the data."""
    version, protocol, src_high, src_low, dst_high, dst_low, _ = key
    if version == 4:
        # A total length of 0 says: as far as the bytes go (segmentation offload does so).
        size = 20 + len(data)
        head = b"\x45\0" + (size if size <= MAX_DATAGRAM else 0).to_bytes(2, "big")
        ends = src_low.to_bytes(4, "big") + dst_low.to_bytes(4, "big")
        return head + bytes(5) + bytes([protocol, 0, 0]) + ends + data
    src, dst = (src_high << 64 | src_low), (dst_high << 64 | dst_low)
    head = b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes([protocol, 64])
    return head + src.to_bytes(16, "big") + dst.to_bytes(16, "big") + data
