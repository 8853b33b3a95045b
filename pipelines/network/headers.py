"""Turn a block of packets into header columns, layer by layer, all packets at once.

Each round takes every packet one layer further in: packets are grouped by the kind of their next
header and each group's header is read by numpy gathers. A tunnel simply leads to further rounds,
and an inner IP header overwrites the outer one's columns, so the inner addresses count. The
number of rounds is bounded: nesting deeper than MAX_LAYERS keeps the addresses reached so far.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from pipelines.network.packets import Bools, Int64s, PacketBlock, UInt64s, field_at

MAX_LAYERS: Final = 24

# Kinds below 0x10000 are EtherTypes; the rest are link types, IP protocols and the house's own.
LINK: Final = 0x10000
PROTOCOL: Final = 0x20000
EXTENSION: Final = 0x30000
TUNNEL: Final = 0x40000
PPP: Final = 0x50000
NOTHING: Final = -1
_KINDS: Final = 0x70000

FIRST_FRAGMENT: Final = 1
LATER_FRAGMENT: Final = 2


@dataclass(slots=True, eq=False)
class Headers:
    """Hold what the innermost readable IP and transport headers of each packet say.

    One value a packet of the block. `version`: 4, 6, or 0 where there is no IP; addresses as two
    halves (IPv4 in the lower one); `payload` and `payload_end`: offsets of what TCP or UDP
    carries; `tcp_flags` and `sequence` are 0 unless TCP; `fragment`: 0, FIRST_ or LATER_FRAGMENT;
    `arp`: offset of an ARP message (which ends at `payload_end`), else 0. Of fragments only:
    `fragment_at` and `fragment_end`, where the bytes lie; `fragment_offset`, their place in the
    datagram, plus 1 where more follow.
    """

    version: Int64s
    protocol: Int64s
    src_high: UInt64s
    src_low: UInt64s
    dst_high: UInt64s
    dst_low: UInt64s
    src_port: Int64s
    dst_port: Int64s
    tcp_flags: Int64s
    sequence: Int64s
    payload: Int64s
    payload_end: Int64s
    fragment: Int64s
    fragment_id: Int64s
    fragment_at: Int64s
    fragment_end: Int64s
    fragment_offset: Int64s
    arp: Int64s
    unknown_links: frozenset[int] = frozenset()

    @classmethod
    def empty(cls, packets: int) -> "Headers":
        """Make columns for that many packets of which nothing is known yet."""

        def signed() -> Int64s:
            return np.zeros(packets, np.int64)

        def unsigned() -> UInt64s:
            return np.zeros(packets, np.uint64)

        return cls(
            signed(), signed(), unsigned(), unsigned(), unsigned(), unsigned(), signed(), signed(),
            signed(), signed(), signed(), signed(), signed(), signed(), signed(), signed(),
            signed(), signed(),
        )  # fmt: skip


COLUMNS: Final = tuple(field.name for field in fields(Headers) if field.name != "unknown_links")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Hold packets under way: which (`row`), where the next header lies, where the bytes end."""

    row: Int64s
    at: Int64s
    end: Int64s
    kind: Int64s

    def __len__(self) -> int:
        return len(self.row)

    def only(self, mask: Bools) -> "Rows":
        """Keep the packets where `mask` is true."""
        if mask.all():
            return self  # the usual case: nothing to copy
        return self.take(np.flatnonzero(mask))

    def take(self, places: Int64s) -> "Rows":
        """Keep the packets at these places."""
        return Rows(self.row[places], self.at[places], self.end[places], self.kind[places])

    def with_room(self, size: int) -> "Rows":
        """Keep the packets that still have `size` bytes."""
        return self.only(self.at + size <= self.end)

    def onward(self, skip: Int64s | int, kind: Int64s | int) -> "Rows":
        """Step over `skip` bytes; what follows is of `kind`."""
        kinds = np.full(len(self.row), kind, np.int64) if isinstance(kind, int) else kind
        return Rows(self.row, self.at + skip, self.end, kinds)


Layer = Callable[[bytes, Rows, Headers], Rows]
"""Read one kind of header: write what it says into Headers, give the packets' next headers."""


def read_headers(block: PacketBlock, layers: Mapping[int, Layer]) -> Headers:
    """Read the headers of all packets of a block; never raises on what the packets hold."""
    headers = Headers.empty(len(block))
    rows = Rows(
        np.arange(len(block), dtype=np.int64),
        block.start,
        block.start + block.captured,
        block.link + LINK,
    )
    # Nearly always all packets have one link type, and `unique` is slow beside this.
    is_one = len(block) > 0 and bool((block.link == block.link[0]).all())
    links = {int(link) for link in (block.link[:1] if is_one else np.unique(block.link))}
    headers.unknown_links = frozenset(link for link in links if link + LINK not in layers)
    readable = np.zeros(_KINDS, np.bool_)  # NOTHING is -1: the last place, which is no kind
    readable[list(layers)] = True
    for _ in range(MAX_LAYERS):
        rows = rows.only(readable[rows.kind])
        onward: list[Rows] = []
        while len(rows):  # at most once for each kind in `layers`
            kind = int(rows.kind[0])
            chosen = rows.kind == kind
            onward.append(layers[kind](block.octets, rows.only(chosen), headers))
            rows = rows.only(~chosen)
        if not onward:
            break
        rows = onward[0] if len(onward) == 1 else concatenated(onward)
    return headers


def concatenated(parts: list[Rows]) -> Rows:
    """Put packets under way behind each other."""
    return Rows(
        np.concatenate([p.row for p in parts]),
        np.concatenate([p.at for p in parts]),
        np.concatenate([p.end for p in parts]),
        np.concatenate([p.kind for p in parts]),
    )


def read_uint64(octets: bytes, offsets: Int64s) -> UInt64s:
    """Gather eight bytes of each packet as one unsigned number."""
    window = np.ndarray((len(octets) - 7,), ">u8", octets, 0, (1,))
    return window[offsets].astype(np.uint64)


def u8(octets: bytes, offsets: Int64s) -> Int64s:
    """Gather one byte of each packet."""
    return field_at(octets, ">u1", offsets)


def u16(octets: bytes, offsets: Int64s) -> Int64s:
    """Gather two bytes of each packet, network order."""
    return field_at(octets, ">u2", offsets)


def u32(octets: bytes, offsets: Int64s) -> Int64s:
    """Gather four bytes of each packet, network order."""
    return field_at(octets, ">u4", offsets)
