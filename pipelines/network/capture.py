"""Read capture files (pcap and pcapng) as blocks of packets, in flat memory.

Formats: libpcap's file format (draft-ietf-opsawg-pcap: both byte orders, microseconds and
nanoseconds, also the `0xa1b2cd34` variant with longer record heads) and pcapng
(draft-ietf-opsawg-pcapng), told apart by their first four bytes.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from pipelines.network.packets import PADDING, PacketBlock, heads_at
from pipelines.network.pcapng import PcapngReader
from storage.errors import InvalidBatch

BLOCK_BYTES: Final = 4 << 20
MAX_PACKET_BYTES: Final = 16 << 20
"""A longer record is taken as garbage: Wireshark's own limit for any link type is far below."""

PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
_PCAP_MAGICS: Final = {
    # magic as it lies in the file: (byte order, nanoseconds per fraction, bytes of a record head)
    b"\xd4\xc3\xb2\xa1": ("<", 1_000, 16),
    b"\xa1\xb2\xc3\xd4": (">", 1_000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1_000, 24),
    b"\xa1\xb2\xcd\x34": (">", 1_000, 24),
}
_PCAP_HEAD: Final = 24
_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")


def is_capture(head: bytes) -> bool:
    """Tell whether a stream that begins so is a pcap or pcapng file."""
    return head[:4] in _PCAP_MAGICS or (
        head[:4] == PCAPNG_MAGIC and head[8:12] in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d")
    )


def read_packets(
    chunks: Iterable[bytes], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[PacketBlock]:
    """Give a capture's packets block by block, the same blocks however it is chunked.

    Memory: one block and the longest packet. InvalidBatch (format 'pcap') after the readable
    part, where the bytes are no capture, are cut off, or contradict themselves.
    """
    pieces = _pieces(chunks, block_bytes)
    first = next(pieces, [])
    octets = b"".join((*first, bytes(PADDING)))
    head = octets[: min(_PCAP_HEAD, len(octets) - PADDING)]
    if not is_capture(head):
        way_out = "; it is compressed: unpack it first" if head[:4].startswith(_PACKED) else ""
        raise InvalidBatch(
            f"not a capture file: neither pcap nor pcapng begins so{way_out}", format="pcap"
        )
    is_new = head[:4] == PCAPNG_MAGIC
    reader = PcapngReader() if is_new else PcapReader(head)
    used = 0 if is_new else _PCAP_HEAD
    while True:
        size = len(octets) - PADDING
        for block, taken in reader.take(octets, used, size):
            used = taken
            if len(block):
                yield block
        rest = octets[used:size]
        if len(rest) > MAX_PACKET_BYTES + block_bytes:
            raise InvalidBatch(
                f"packet {reader.packets} claims over {MAX_PACKET_BYTES} bytes", format="pcap"
            )
        more = next(pieces, None)
        if more is None:
            break
        # One copy for all: what was left, the next chunks, and the padding behind them.
        octets, used = b"".join((rest, *more, bytes(PADDING))), 0
    if rest:
        raise InvalidBatch(
            f"the capture ends inside packet {reader.packets}", format="pcap", row=reader.packets
        )


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Cut the stream into pieces of exactly `size` bytes (the last one shorter), not yet joined."""
    held: list[bytes] = []
    waiting = 0
    for chunk in chunks:
        at = 0
        while waiting + len(chunk) - at >= size:
            taken = size - waiting
            held.append(chunk[at : at + taken])
            yield held
            held, waiting, at = [], 0, at + taken
        if at < len(chunk):
            held.append(chunk[at:])
            waiting += len(chunk) - at
    if held:
        yield held


class PcapReader:
    """Walk the records of a classic pcap file whose file head is given."""

    def __init__(self, head: bytes) -> None:
        """Read the file head; InvalidBatch where it is cut off."""
        if len(head) < _PCAP_HEAD:
            raise InvalidBatch("the capture ends inside its file head", format="pcap")
        self._order, self._ns, self._head = _PCAP_MAGICS[head[:4]]
        # The upper half of the word holds frame check sequence hints, not the link type.
        self._link = struct.unpack(self._order + "I", head[20:24])[0] & 0xFFFF
        self.packets = 0

    def take(self, octets: bytes, at: int, size: int) -> Iterator[tuple[PacketBlock, int]]:
        """Give the whole records between `at` and `size` as one block, and where they end.

        PADDING bytes lie behind `size`.
        """
        # Each record says where the next begins: this walk over lengths is the only loop per
        # packet on the whole path; it costs some 0.1 us a packet.
        length = struct.Struct(self._order + "8xI").unpack_from
        starts: list[int] = []
        found, head = starts.append, self._head
        last = size - head
        while at <= last:
            found(at)
            at += head + length(octets, at)[0]
        claimed = 0
        if at > size:  # the last record is not whole
            claimed = at - starts[-1] - head
            at = starts.pop()
        self.packets += len(starts)
        yield self._block(octets, starts), at
        if claimed > MAX_PACKET_BYTES:
            raise InvalidBatch(
                f"packet {self.packets} claims {claimed} bytes: the capture is damaged there",
                format="pcap",
                row=self.packets,
            )

    def _block(self, octets: bytes, starts: list[int]) -> PacketBlock:
        at = np.fromiter(starts, np.int64, len(starts))
        word = self._order + "u4"
        layout = [("second", word), ("fraction", word), ("captured", word), ("wire", word)]
        heads = heads_at(octets, np.dtype(layout), at)
        seconds, fractions = heads["second"].astype(np.int64), heads["fraction"].astype(np.int64)
        return PacketBlock(
            octets=octets,
            start=at + self._head,
            captured=heads["captured"].astype(np.int64),
            wire=heads["wire"].astype(np.int64),
            time_ns=seconds * 1_000_000_000 + fractions * self._ns,
            link=np.full(len(at), self._link, np.int64),
        )
