"""Put IP fragments together, so that a message cut by them is read as if it had come whole.

Only datagrams that carry TCP or UDP, and only for the readers of protocols: flows count packets as
they came. Of bytes that come twice the first stay; a whole datagram is held so long, too, that its
fragments' copies are known. State: MAX_DATAGRAMS datagrams and MAX_HELD_BYTES, for WAIT_S of the
capture's time; beyond that the oldest are given as far as they go, in the middle of a block too.
Memory follows the bytes that came, not the offsets that they name.
"""

from bisect import bisect_right
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
DATAGRAM_COST: Final = 512
"""Bytes that a datagram takes beside its pieces: its key, its place, its lists."""
PIECE_COST: Final = 128
"""Bytes that a piece takes beside its data."""

_Key = tuple[int, ...]
_KEY: Final = (
    "version", "protocol", "src_high", "src_low", "dst_high", "dst_low", "fragment_id",
)  # fmt: skip
_OFFSETS: Final = ("payload", "payload_end")


class _Datagram:
    """Hold the pieces of one datagram behind its IP head, as they came: none overlaps another."""

    __slots__ = ("_pieces", "_starts", "filled", "held", "is_done", "last_ns", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._pieces: list[bytes] = []
        self.filled, self.held = 0, DATAGRAM_COST
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
            both = zip(self._starts, self._pieces, strict=True)
            self.filled = sum(self._counted(start, len(piece)) for start, piece in both)
        place = bisect_right(self._starts, offset)
        at = offset
        if place:
            at = max(at, self._starts[place - 1] + len(self._pieces[place - 1]))
        while at < end:
            until = min(end, self._starts[place]) if place < len(self._starts) else end
            if at < until:
                self._insert(place, at, data[at - offset : until - offset])
                place += 1
            if until == end:
                break
            at = until + len(self._pieces[place])
            place += 1

    def _insert(self, place: int, start: int, piece: bytes) -> None:
        self._starts.insert(place, start)
        self._pieces.insert(place, piece)
        self.filled += self._counted(start, len(piece))
        self.held += len(piece) + PIECE_COST

    def _counted(self, start: int, length: int) -> int:
        return length if self.size < 0 else max(0, min(length, self.size - start))

    @property
    def is_whole(self) -> bool:
        """Tell whether every byte up to the last fragment's end is there."""
        return self.filled == self.size

    def beginning(self) -> bytes:
        """Give the bytes up to the first gap."""
        found, end = [], 0
        for start, piece in zip(self._starts, self._pieces, strict=True):
            if start != end:
                break
            found.append(piece)
            end += len(piece)
        whole = b"".join(found)
        return whole if self.size < 0 else whole[: self.size]

    def finish(self) -> bytes:
        """Give the whole, which alone is kept, to know copies of its fragments."""
        whole = self.beginning()
        self.is_done = True
        self._starts, self._pieces = [0], [whole]
        self.held = DATAGRAM_COST + PIECE_COST + len(whole)
        return whole

    def is_copy(self, offset: int, data: bytes) -> bool:
        """Tell whether a fragment says what the whole datagram said."""
        return self.is_done and self._pieces[0].startswith(data, offset)


class Reassembly:
    """Put fragments together block by block."""

    def __init__(self, layers: Mapping[int, Layer]) -> None:
        """Begin with nothing held; `layers` as `read_headers` takes them."""
        self._layers = layers
        self._held: dict[_Key, _Datagram] = {}
        self._bytes = 0
        self._late: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Give the bytes that datagrams take, unfinished ones and those kept to know copies."""
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
            one = self._held.get(key) or self._begin(key)
            data = block.octets[at:end]
            if one.is_done:
                if one.is_copy(offset & ~7, data):
                    continue
                self._forget(key)
                one = self._begin(key)
            before = one.held
            one.add(offset & ~7, data, has_more=bool(offset & 1))
            one.last_ns = time_ns
            if one.is_whole:
                complete.append((row, _packet(key, one.finish())))
            self._bytes += one.held - before
            self._make_room()
        headers.fragment[rows] = LATER_FRAGMENT
        return self._replaced(block, headers, complete) if complete else block

    def given_up(self, now_ns: int | None = None) -> tuple[PacketBlock, Headers] | None:
        """Give the beginnings of what waited too long or had no room; without `now_ns` of all."""
        for key in list(self._held):
            if now_ns is None or now_ns - self._held[key].last_ns > WAIT_S * 1_000_000_000:
                self._give_up(key)
        late, self._late = self._late, []
        if not late:
            return None
        block = _block([packet for _, packet in late], [time_ns for time_ns, _ in late])
        return block, read_headers(block, self._layers)

    def _begin(self, key: _Key) -> _Datagram:
        one = self._held[key] = _Datagram()
        self._bytes += one.held
        return one

    def _make_room(self) -> None:
        while len(self._held) > MAX_DATAGRAMS or self._bytes > MAX_HELD_BYTES:
            self._give_up(next(iter(self._held)))

    def _give_up(self, key: _Key) -> None:
        one = self._held[key]
        if not one.is_done and (begun := one.beginning()):
            self._late.append((one.last_ns, _packet(key, begun)))
        self._forget(key)

    def _forget(self, key: _Key) -> None:
        self._bytes -= self._held.pop(key).held

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
