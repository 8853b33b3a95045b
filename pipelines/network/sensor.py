"""Watch a capture: packets in, flows and protocols' rows out, in flat memory."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipelines.network import conversations, reassembly, streams
from pipelines.network.capture import read_packets
from pipelines.network.dns_messages import DnsSighting, DnsWatch
from pipelines.network.flow_rows import flow_rows
from pipelines.network.flow_table import FlowTable
from pipelines.network.flows import Flows
from pipelines.network.fragments import FragmentPorts
from pipelines.network.headers import Headers, read_headers
from pipelines.network.packets import PacketBlock
from pipelines.network.reassembly import Reassembly
from pipelines.network.sightings import ARP, KINDS, Sighting
from pipelines.network.tcp_watch import TcpWatch
from pipelines.network.tunnels import LAYERS
from pipelines.network.udp_watch import (
    MAX_DTLS_BYTES,
    MAX_QUIC_BYTES,
    UdpWatch,
    arp_sightings,
)
from storage.errors import InvalidBatch

MAX_HELD_BYTES: Final = (
    conversations.MAX_HELD
    + MAX_QUIC_BYTES
    + MAX_DTLS_BYTES
    + streams.MAX_ALL_BYTES
    + reassembly.MAX_HELD_BYTES
)
"""What all buffers of unfinished messages may take together: 84 MiB.

Each kind has a share of its own, so that a flood of the one does not let the other's go.
"""
LIVE_STEP_NS: Final = 5_000_000_000
"""How often a live capture looks for flows that are over or silent."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Hold what a stretch of a capture showed: flows that ended, messages of protocols.

    `evicted`: how many connections and messages were let go so far, for want of room, of a segment
    that never came, or since a flood of them came at once; `cut`: how many flows were ended early
    for want of room, so that what follows of them counts as others. Both are said in the last
    stretch, and live every LIVE_STEP_NS, else 0. `flows`: as
    `pipelines.network.flow_rows.flow_rows` gives them.
    """

    flows: pl.DataFrame
    dns: list[DnsSighting]
    others: list[Sighting] = field(default_factory=list)
    evicted: int = 0
    cut: int = 0


def watch(
    chunks: Iterable[bytes],
    *,
    flows: bool = True,
    dns: bool = True,
    others: Collection[str] = KINDS,
) -> Iterator[Seen]:
    """Give what a capture shows; the flows still open come last, also before an error.

    `others`: the kinds of `pipelines.network.sightings` that are wanted.

    InvalidBatch, after everything readable, where the bytes are no capture, damaged, cut off, or
    of a link type that the house cannot read.
    """
    yield from watch_blocks(read_packets(chunks), flows=flows, dns=dns, others=others)


def watch_blocks(
    blocks: Iterator[PacketBlock],
    *,
    flows: bool = True,
    dns: bool = True,
    others: Collection[str] = KINDS,
    now_ns: Callable[[], int] | None = None,
) -> Iterator[Seen]:
    """Give what blocks of packets show, from wherever they come; else as `watch`.

    `now_ns`: the clock of a live capture: flows that are over or silent are given as they end.
    """
    table, fragments, readers = FlowTable(), FragmentPorts(), Readers(others, dns=dns)
    unknown: set[int] = set()
    problem: InvalidBatch | None = None
    looked_ns = now_ns() if now_ns else 0
    while True:
        try:
            block = next(blocks, None)
        except InvalidBatch as error:
            problem, block = error, None
        if block is None:
            break
        headers = read_headers(block, LAYERS)
        unknown |= headers.unknown_links
        ended = Flows.none()
        if flows:
            fragments.fill(headers)
            ended = table.add(block, headers)
        found, rows = readers.read(block, headers)
        evicted = cut = 0
        if now_ns and now_ns() - looked_ns >= LIVE_STEP_NS:
            looked_ns = now_ns()
            ended = ended.joined(table.end_silent(looked_ns))
            rows += readers.let_silent_go(looked_ns)
            evicted, cut = readers.evicted, table.cut
        yield Seen(flow_rows(ended), found, rows, evicted, cut)
    found, rest = readers.close()
    yield Seen(flow_rows(table.close()), found, rest, readers.evicted, table.cut)
    if problem is not None:
        raise problem
    if unknown:
        names = ", ".join(str(link) for link in sorted(unknown))
        raise InvalidBatch(f"link type {names} cannot be read: no flows in it", format="pcap")


_Read = tuple[list[DnsSighting], list[Sighting]]


class Readers:
    """Hold what reads messages, of packets whose fragments were put together."""

    def __init__(self, others: Collection[str], *, dns: bool) -> None:
        """Begin with nothing seen; `others`: the kinds wanted beside DNS."""
        self._others, self._dns = others, dns
        self._messages = DnsWatch()
        self._tcp, self._udp = TcpWatch(others), UdpWatch(others)
        self._datagrams = Reassembly(LAYERS)

    @property
    def held_bytes(self) -> int:
        """Give the bytes of all that is unfinished or waits for an answer."""
        parts = self._messages, self._tcp, self._udp, self._datagrams
        return sum(part.held_bytes for part in parts)

    @property
    def evicted(self) -> int:
        """Give how many messages and connections were let go."""
        return self._messages.evicted + self._tcp.evicted + self._udp.evicted

    def read(self, block: PacketBlock, headers: Headers) -> _Read:
        """Give a block's messages; in `headers` whole datagrams then stand for their fragments."""
        found, rows = self._read(self._datagrams.whole(block, headers), headers)
        if len(self._datagrams) and len(block):
            late, more = self._beginnings(int(block.time_ns[-1]))
            found, rows = found + late, rows + more
        if ARP in self._others:
            rows += arp_sightings(block, headers)
        return found, rows

    def let_silent_go(self, now_ns: int) -> Iterator[Sighting]:
        """Give what silent connections of a live capture left unanswered."""
        return self._tcp.let_silent_go(now_ns)

    def close(self) -> _Read:
        """Give what is unfinished or unanswered at the capture's end."""
        found, rows = self._beginnings(None)
        return found, [*rows, *self._tcp.close(), *self._udp.close()]

    def _beginnings(self, now_ns: int | None) -> _Read:
        late = self._datagrams.given_up(now_ns)
        return ([], []) if late is None else self._read(*late)

    def _read(self, block: PacketBlock, headers: Headers) -> _Read:
        found = list(self._messages.find(block, headers)) if self._dns else []
        if not self._others:
            return found, []
        return found, [*self._tcp.find(block, headers), *self._udp.find(block, headers)]
