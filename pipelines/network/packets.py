"""Hold one block of captured packets: the bytes once, and where each packet lies in them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
UInt64s = NDArray[np.uint64]
Bools = NDArray[np.bool_]

PADDING: Final = 64
"""Zero bytes kept behind each block, so that a gather near the end stays inside the buffer."""


@dataclass(frozen=True, slots=True, eq=False)
class PacketBlock:
    """Hold packets of one stretch of a capture as columns over one byte buffer.

    `octets`: the bytes, with PADDING zero bytes behind them; per packet: `start` (offset of its
    first byte), `captured` (bytes kept), `wire` (bytes it had on the wire, link layer included),
    `time_ns` (since 1970), `link` (LINKTYPE_ number).
    """

    octets: bytes
    start: Int64s
    captured: Int64s
    wire: Int64s
    time_ns: Int64s
    link: Int64s

    def __len__(self) -> int:
        return len(self.start)


def field_at(octets: bytes, dtype: str, offsets: Int64s) -> Int64s:
    """Gather one integer field of all packets at once, at any alignment.

    `dtype`: numpy's name with its byte order (">u2"); each offset must leave room for it.

    >>> field_at(bytes([0, 1, 2, 3]), ">u2", np.array([1, 2])).tolist()
    [258, 515]
    """
    width = int(dtype[2:])
    window = np.ndarray((len(octets) - width + 1,), dtype, octets, 0, (1,))
    return window[offsets].astype(np.int64)


def table_of(numbers: Iterable[int]) -> Bools:
    """Give a table over all 65,536 ports (or bytes, or types) that tells which are among these.

    To look up in it costs a tenth of what `numpy.isin` does.

    >>> table_of([53])[np.array([53, 80])].tolist()
    [True, False]
    """
    table = np.zeros(65_536, np.bool_)
    table[list(numbers)] = True
    return table


def heads_at(octets: bytes, layout: np.dtype[np.void], offsets: Int64s) -> NDArray[np.void]:
    """Gather a whole fixed head of all packets at once: one walk over memory for all its fields.

    >>> pair = np.dtype([("a", ">u1"), ("b", ">u2")])
    >>> heads_at(bytes(range(8)), pair, np.array([1, 4]))["b"].tolist()
    [515, 1286]
    """
    width = layout.itemsize
    window = np.ndarray((len(octets) - width + 1,), f"V{width}", octets, 0, (1,))
    return window[offsets].view(layout)
