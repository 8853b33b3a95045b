"""Find the DNS messages in a block of packets: in UDP by port, in TCP by length prefix."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from pipelines.network.addresses import packed, text
from pipelines.network.dns_message import DnsMessage, read_message
from pipelines.network.headers import LATER_FRAGMENT, Headers
from pipelines.network.internet import TCP, UDP
from pipelines.network.packets import Bools, Int64s, PacketBlock

DNS_PORTS: Final = (53, 5353, 5355)
"""DNS, multicast DNS, link-local multicast name resolution."""
MAX_STREAMS: Final = 1_024
MAX_STREAM_BYTES: Final = 65_537
_SYN: Final = 2


class DnsSighting(NamedTuple):
    """Hold one message with the ends and the time of the packet that completed it."""

    time_ns: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    proto: str
    message: DnsMessage


class _Stream(NamedTuple):
    expected: int
    held: bytes


class DnsWatch:
    """Find DNS messages block by block; keeps at most MAX_STREAMS unfinished TCP messages."""

    def __init__(self) -> None:
        """Begin with no stream known."""
        self._streams: dict[tuple[bytes, int, bytes, int], _Stream] = {}

    def find(self, block: PacketBlock, headers: Headers) -> Iterator[DnsSighting]:
        """Give the block's messages in the order of the capture."""
        rows = np.flatnonzero(_is_candidate(headers))
        if not len(rows):
            return
        version = headers.version[rows]
        ends = zip(
            packed(version, headers.src_high[rows], headers.src_low[rows]),
            headers.src_port[rows].tolist(),
            packed(version, headers.dst_high[rows], headers.dst_low[rows]),
            headers.dst_port[rows].tolist(),
            strict=True,
        )
        spans = zip(
            block.time_ns[rows].tolist(),
            headers.protocol[rows].tolist(),
            headers.payload[rows].tolist(),
            headers.payload_end[rows].tolist(),
            headers.sequence[rows].tolist(),
            headers.tcp_flags[rows].tolist(),
            strict=True,
        )
        for end, (time_ns, protocol, start, stop, sequence, flags) in zip(ends, spans, strict=True):
            payload = block.octets[start:stop]
            is_udp = protocol == UDP
            found = [payload] if is_udp else self._follow(end, sequence, flags, payload)
            for data in found:
                message = read_message(data)
                if message is not None:
                    src, src_port, dst, dst_port = end
                    proto = "udp" if is_udp else "tcp"
                    yield DnsSighting(
                        time_ns, text(src), src_port, text(dst), dst_port, proto, message
                    )

    def _follow(
        self, end: tuple[bytes, int, bytes, int], sequence: int, flags: int, payload: bytes
    ) -> list[bytes]:
        """Add a segment to its stream and give the messages that are whole now.

        Segments in order only: after a gap the next segment is taken as a message's beginning.
        """
        if flags & _SYN:
            sequence += 1
        before = self._streams.pop(end, None)
        held = payload
        if before is not None:
            if (before.expected - sequence) & 0xFFFFFFFF in range(1, 1 << 31):
                self._streams[end] = before  # sent again: nothing new
                return []
            if before.expected == sequence & 0xFFFFFFFF:
                held = before.held + payload
        found: list[bytes] = []
        while len(held) >= 2:
            size = int.from_bytes(held[:2], "big")
            if size < 12 or len(held) < 2 + size:
                break
            found.append(held[2 : 2 + size])
            held = held[2 + size :]
        if len(held) > MAX_STREAM_BYTES or (len(held) >= 2 and held[0] == 0 and held[1] < 12):
            held = b""
        while len(self._streams) >= MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        self._streams[end] = _Stream((sequence + len(payload)) & 0xFFFFFFFF, held)
        return found


def _is_candidate(headers: Headers) -> Bools:
    """Tell which packets may carry DNS: by protocol and port, with room for a message's head."""
    size: Int64s = headers.payload_end - headers.payload
    by_udp = (headers.protocol == UDP) & (size >= 12)
    is_syn = (headers.tcp_flags & _SYN) != 0
    by_tcp = (headers.protocol == TCP) & ((size > 0) | is_syn)
    at_port = np.isin(headers.dst_port, DNS_PORTS) | np.isin(headers.src_port, DNS_PORTS)
    at_53 = (headers.dst_port == 53) | (headers.src_port == 53)
    whole = headers.fragment != LATER_FRAGMENT
    chosen: Bools = ((by_udp & at_port) | (by_tcp & at_53)) & whole
    return chosen
