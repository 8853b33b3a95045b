"""Hold flows as columns, and the open ones with room to grow."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from pipelines.network.packets import Bools, Int64s, UInt64s

_ROOM: Final = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Hold flows as columns; side `a` is the lower (address, port), `b` the other.

    `ends` packs version, protocol, a's port and b's port; `first_ns` and `last_ns` are the times
    of the earliest and latest packet; `a_first` is 1 where a sent the first packet; `syn_side`
    (1 = a, 0 = b, -1 = none) and `syn_sequence` belong to the latest SYN without ACK.
    """

    mix: UInt64s
    a_high: UInt64s
    a_low: UInt64s
    b_high: UInt64s
    b_low: UInt64s
    ends: UInt64s
    first_ns: Int64s
    last_ns: Int64s
    a_packets: Int64s
    b_packets: Int64s
    a_bytes: Int64s
    b_bytes: Int64s
    a_flags: Int64s
    b_flags: Int64s
    a_first: Int64s
    syn_side: Int64s
    syn_sequence: Int64s

    def __len__(self) -> int:
        return len(self.mix)

    def take(self, rows: Int64s | Bools) -> "Flows":
        """Keep or reorder rows."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)  # once, not for each column
        return Flows(*(getattr(self, f.name)[rows] for f in fields(self)))

    def joined(self, other: "Flows") -> "Flows":
        """Put the other flows behind these."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Flows(*(np.concatenate(pair) for pair in pairs))

    @classmethod
    def none(cls) -> "Flows":
        """Give no flows."""
        unsigned, signed = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        return cls(*(unsigned,) * 6, *(signed,) * 11)

    @property
    def protocol(self) -> Int64s:
        """Give the IP protocol numbers."""
        return ((self.ends >> np.uint64(32)) & np.uint64(0xFF)).astype(np.int64)

    @property
    def version(self) -> Int64s:
        """Give the IP versions."""
        return (self.ends >> np.uint64(40)).astype(np.int64)


class OpenFlows:
    """Hold the open flows in columns with room to grow; what a block touches is put back in place.

    A block then costs by its own packets, not by how many flows are open.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._columns = Flows.none()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Flows:
        """Give the flows as views: good until the next change."""
        return Flows(*(getattr(self._columns, f.name)[: self._count] for f in fields(Flows)))

    def put(self, places: Int64s, flows: Flows) -> None:
        """Write flows at these places, and those there is no place for (the later ones) behind."""
        known = len(places)
        begin, end = self._count, self._count + len(flows) - known
        if end > len(self._columns):
            self._grow(end)
        for f in fields(Flows):
            column, new = getattr(self._columns, f.name), getattr(flows, f.name)
            column[places] = new[:known]
            column[begin:end] = new[known:]
        self._count = end

    def take_out(self, gone: Bools) -> Flows:
        """Give these flows and close the ranks of the others."""
        if not gone.any():
            return Flows.none()
        ended, self._columns = self.rows.take(gone), self.rows.take(~gone)
        self._count = len(self._columns)
        return ended

    def _grow(self, needed: int) -> None:
        room = max(needed, 2 * len(self._columns), _ROOM)
        old = self.rows
        self._columns = Flows(*(np.empty(room, getattr(old, f.name).dtype) for f in fields(Flows)))
        for f in fields(Flows):
            getattr(self._columns, f.name)[: self._count] = getattr(old, f.name)
