"""Take packets from a network interface through a ring that the kernel fills (TPACKET_V3).

Linux only; needs CAP_NET_RAW, and nothing else. The kernel hands over whole blocks of packets; a
block is copied once and given back. Rings of one fan-out group share the packets by flow, one ring
a process. Sources: packet(7) and Documentation/networking/packet_mmap.rst of Linux.
"""

import mmap
import select
import socket
import struct
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self

import numpy as np

from pipelines.network.packets import PADDING, PacketBlock
from storage.errors import Unavailable

BLOCK_BYTES: Final = 1 << 20
BLOCKS: Final = 64
RETIRE_MS: Final = 100
"""A block that is not full is handed over after so long."""

_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION, _FANOUT, _IGNORE_OUTGOING = 263, 5, 6, 10, 18, 23
_TPACKET_V3, _FANOUT_HASH, _DEFRAGMENT, _ALL = 2, 0, 0x8000, 3
_GROUP_IGNORES_OUTGOING: Final = 0x4000
"""Linux 5.16: the option of the socket alone does not hold in a group."""
_STATUS_AT, _USER = 8, 1
_ETHERNET, _RAW_IP = 1, 101
_BARE: Final = frozenset((512, 768, 769, 776, 65_534))
"""Kinds of interface (ARPHRD) whose packets begin with IP: PPP, tunnels, tun, WireGuard."""

_FRAMED: Final = frozenset((1, 772))
"""Those whose packets begin with an Ethernet header: cards, bridges, veth; loopback."""

_block_head = struct.Struct("=IIIII").unpack_from
_packet_head = struct.Struct("=IIIIIIH").unpack_from
_counts = struct.Struct("=III").unpack


class Ring:
    """Hold an open ring; `blocks` gives what comes, `drops` counts what the kernel had to drop."""

    def __init__(self, interface: str, *, fanout: int | None = None, blocks: int = BLOCKS) -> None:
        """Open the interface; Unavailable where it is not there or may not be read."""
        self._blocks, self._at = blocks, 0
        self.packets = self.drops = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as refused:
            raise Unavailable(f"packets of {interface} may not be read: {refused}") from refused
        try:
            self._map = self._open(interface, fanout)
        except OSError as refused:
            self._socket.close()
            raise Unavailable(f"interface {interface} cannot be captured: {refused}") from refused

    def _open(self, interface: str, fanout: int | None) -> mmap.mmap:
        self._socket.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        frame = 2_048
        wanted = (
            BLOCK_BYTES, self._blocks, frame, BLOCK_BYTES // frame * self._blocks, RETIRE_MS, 0, 0,
        )  # fmt: skip
        self._socket.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("=7I", *wanted))
        if interface == "lo":
            # On loopback each packet passes twice, once on its way out.
            self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        held = mmap.mmap(self._socket.fileno(), BLOCK_BYTES * self._blocks)
        self._socket.bind((interface, _ALL))
        self._link = _link_of(self._socket.getsockname()[3])
        if fanout is not None:
            flags = _DEFRAGMENT | (_GROUP_IGNORES_OUTGOING if interface == "lo" else 0)
            group = struct.pack("=HH", fanout & 0xFFFF, _FANOUT_HASH | flags)
            self._socket.setsockopt(_SOL_PACKET, _FANOUT, group)
        return held

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the ring back."""
        self._map.close()
        self._socket.close()

    def take(self, wait_s: float) -> PacketBlock | None:
        """Give the next block of packets; None where none came in time."""
        place = self._at * BLOCK_BYTES
        if not self._is_ready(place):
            select.select([self._socket], [], [], wait_s)
            if not self._is_ready(place):
                return None
        _, _, _, count, first = _block_head(self._map, place)
        data = self._map[place : place + BLOCK_BYTES]
        self._map[place + _STATUS_AT : place + _STATUS_AT + 4] = b"\0\0\0\0"
        self._at = (self._at + 1) % self._blocks
        self.count()
        return _as_block(data, count, first, self._link)

    def _is_ready(self, place: int) -> bool:
        return bool(self._map[place + _STATUS_AT] & _USER)

    def blocks(self, until: Callable[[], bool]) -> Iterator[PacketBlock]:
        """Give blocks as they come; `until` is asked after each, and ten times a second."""
        while not until():
            block = self.take(RETIRE_MS / 1_000)
            if block is not None:
                yield block

    def beats(self, until: Callable[[], bool]) -> Iterator[PacketBlock]:
        """Give blocks as they come, and an empty one where none came in time."""
        while not until():
            block = self.take(RETIRE_MS / 1_000)
            yield _as_block(b"", 0, 0, self._link) if block is None else block

    def count(self) -> None:
        """Add the kernel's counts since the last call to `packets` and `drops`."""
        seen, dropped, _ = _counts(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        self.packets += seen
        self.drops += dropped


def _link_of(kind: int) -> int:
    """Give the link type of a kind of interface; OSError for one that nothing here reads.

    >>> _link_of(772), _link_of(65_534)
    (1, 101)
    """
    if kind not in _BARE and kind not in _FRAMED:
        raise OSError(f"its packets (ARPHRD {kind}) cannot be read: neither Ethernet nor IP")
    return _RAW_IP if kind in _BARE else _ETHERNET


def _as_block(data: bytes, count: int, first: int, link: int) -> PacketBlock:
    starts: list[int] = []
    heads: list[tuple[int, ...]] = []
    at = first
    for _ in range(count):
        head = _packet_head(data, at)
        heads.append(head)
        starts.append(at + head[6])
        at += head[0]
    told = np.array(heads, np.int64).reshape(-1, 7)
    return PacketBlock(
        octets=data + bytes(PADDING),
        start=np.array(starts, np.int64),
        captured=told[:, 3],
        wire=told[:, 4],
        time_ns=told[:, 1] * 1_000_000_000 + told[:, 2],
        link=np.full(count, link, np.int64),
    )
