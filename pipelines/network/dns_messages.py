"""Find the DNS messages in a block of packets: in UDP by port, in TCP by length prefix."""

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np

from pipelines.network.addresses import packed, text
from pipelines.network.community_id import community_ids
from pipelines.network.dns_framing import HTTP2_PREFACE, cut_http2, cut_prefixed
from pipelines.network.dns_message import DnsMessage, read_message
from pipelines.network.headers import LATER_FRAGMENT, Headers, u16, u32
from pipelines.network.internet import TCP, UDP
from pipelines.network.packets import Bools, Int64s, PacketBlock, table_of
from pipelines.network.streams import End, Streams

DNS_PORTS: Final = (53, 5353, 5355)
"""DNS, multicast DNS, link-local multicast name resolution."""
MAX_HTTP2: Final = 32
"""Directions of clear-text HTTP/2 that are followed at a time, for DNS over HTTPS seen behind a
proxy that ends TLS."""
MAX_AT_ONCE: Final = 16
"""Messages that one TCP segment may complete; the others of a longer queue are counted only."""
_AT_DNS: Final = table_of(DNS_PORTS)
MAX_WITHOUT_DNS: Final = 262_144
_SYN: Final = 2


class DnsSighting(NamedTuple):
    """Hold one message with the ends and the time of the packet that completed it."""

    time_ns: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    proto: str
    community_id: str
    message: DnsMessage


class DnsWatch:
    """Find DNS messages block by block; holds the unfinished TCP messages of bounded streams.

    `evicted`: messages that were not read, since too many came at once.
    """

    def __init__(self) -> None:
        """Begin with no stream known."""
        self._streams = Streams()
        self._http2: dict[End, int] = {}
        self._untold = 0

    @property
    def evicted(self) -> int:
        """Give how many messages, and unfinished ones of streams, were let go."""
        return self._untold + self._streams.evicted

    @property
    def held_bytes(self) -> int:
        """Give the bytes of unfinished messages."""
        return self._streams.held_bytes

    def find(self, block: PacketBlock, headers: Headers) -> Iterator[DnsSighting]:
        """Give the block's messages in the order of the capture."""
        chosen = _is_candidate(headers)
        self._notice_http2(block, headers)
        if self._http2:
            chosen |= _has_ports_of(headers, self._http2)
        rows = np.flatnonzero(chosen)
        spans = zip(
            block.time_ns[rows].tolist(),
            headers.protocol[rows].tolist(),
            headers.payload[rows].tolist(),
            headers.payload_end[rows].tolist(),
            headers.sequence[rows].tolist(),
            headers.tcp_flags[rows].tolist(),
            _are_cut(block.octets, headers, rows),
            strict=True,
        )
        uids = _community_ids(headers, rows)
        for end, span, uid in zip(_ends(headers, rows), spans, uids, strict=True):
            time_ns, protocol, start, stop, sequence, flags, is_cut = span
            is_udp = protocol == UDP
            if not is_udp and 53 not in end and end not in self._http2:
                continue  # other addresses with the ports of a connection that is followed
            payload = block.octets[start:stop]
            found = [payload] if is_udp else self._follow(end, sequence, flags, payload)
            if len(found) > MAX_AT_ONCE:
                self._untold += len(found) - MAX_AT_ONCE
                del found[MAX_AT_ONCE:]
            for data in found:
                message = read_message(data, is_cut=is_cut)
                if message is not None:
                    src, src_port, dst, dst_port = end
                    proto = "udp" if is_udp else "tcp"
                    yield DnsSighting(
                        time_ns, text(src), src_port, text(dst), dst_port, proto, uid, message
                    )

    def _follow(self, end: End, sequence: int, flags: int, payload: bytes) -> list[bytes]:
        """Add a segment to its stream and give the messages that are whole now."""
        unread = self._streams.add(end, sequence, flags, payload)
        if end not in self._http2:
            found, rest = cut_prefixed(unread)
        else:
            found, rest = cut_http2(unread)
            # A stream of HTTP/2 that carries no DNS is not worth following.
            self._http2[end] = 0 if found else self._http2[end] + len(payload)
            if self._http2[end] > MAX_WITHOUT_DNS:
                del self._http2[end]
        self._streams.keep(end, rest)
        return found

    def _notice_http2(self, block: PacketBlock, headers: Headers) -> None:
        """Follow both directions of connections on which clear-text HTTP/2 begins."""
        size = headers.payload_end - headers.payload
        rows = np.flatnonzero((headers.protocol == TCP) & (size >= len(HTTP2_PREFACE)))
        begin = np.frombuffer(HTTP2_PREFACE[:4], ">u4")[0]
        rows = rows[u32(block.octets, headers.payload[rows]) == begin]
        for src, src_port, dst, dst_port in _ends(headers, rows):
            for end in ((src, src_port, dst, dst_port), (dst, dst_port, src, src_port)):
                while len(self._http2) >= MAX_HTTP2:
                    del self._http2[next(iter(self._http2))]
                self._http2[end] = 0


def _ends(headers: Headers, rows: Int64s) -> Iterator[End]:
    version = headers.version[rows]
    return zip(
        packed(version, headers.src_high[rows], headers.src_low[rows]),
        headers.src_port[rows].tolist(),
        packed(version, headers.dst_high[rows], headers.dst_low[rows]),
        headers.dst_port[rows].tolist(),
        strict=True,
    )


def _community_ids(headers: Headers, rows: Int64s) -> list[str]:
    """Give those of all rows at once: one by one they cost as much as the messages."""
    return community_ids(
        headers.version[rows],
        (headers.src_high[rows], headers.src_low[rows]),
        (headers.dst_high[rows], headers.dst_low[rows]),
        headers.protocol[rows],
        headers.src_port[rows],
        headers.dst_port[rows],
    )


def _are_cut(octets: bytes, headers: Headers, rows: Int64s) -> list[bool]:
    """Tell of which datagrams the capture kept less than their UDP heads say they have."""
    start, stop = headers.payload[rows], headers.payload_end[rows]
    told = u16(octets, np.maximum(start - 4, 0)) - 8
    cut: list[bool] = ((headers.protocol[rows] == UDP) & (told > stop - start)).tolist()
    return cut


def _has_ports_of(headers: Headers, ends: Collection[End]) -> Bools:
    """Tell which packets carry bytes between the ports of one of these directions."""
    pairs = np.unique([src_port << 16 | dst_port for _, src_port, _, dst_port in ends])
    carries = (headers.protocol == TCP) & (headers.payload_end > headers.payload)
    rows = np.flatnonzero(carries & (headers.fragment != LATER_FRAGMENT))
    between = headers.src_port[rows] << 16 | headers.dst_port[rows]
    chosen = np.zeros(len(headers.protocol), np.bool_)
    chosen[rows[np.isin(between, pairs)]] = True
    return chosen


def _is_candidate(headers: Headers) -> Bools:
    """Tell which packets may carry DNS: by protocol and port, with room for a message's head."""
    size: Int64s = headers.payload_end - headers.payload
    by_udp = (headers.protocol == UDP) & (size >= 4)
    is_syn = (headers.tcp_flags & _SYN) != 0
    by_tcp = (headers.protocol == TCP) & ((size > 0) | is_syn)
    at_port = _AT_DNS[headers.dst_port] | _AT_DNS[headers.src_port]
    at_53 = (headers.dst_port == 53) | (headers.src_port == 53)
    whole = headers.fragment != LATER_FRAGMENT
    chosen: Bools = ((by_udp & at_port) | (by_tcp & at_53)) & whole
    return chosen
