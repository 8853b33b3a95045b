"""Find QUIC and DTLS hellos, DHCP, SSDP and industrial messages in UDP, and ARP, in a block."""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from pipelines.network.headers import LATER_FRAGMENT, Headers, u8, u16, u32
from pipelines.network.hellos import Handshake
from pipelines.network.internet import UDP
from pipelines.network.packets import PacketBlock, table_of
from pipelines.network.protocols import arp, dhcp, dhcp6, dtls, http, quic
from pipelines.network.protocols.industrial import (
    CUTTERS,
    DNP3_PORT,
    ENIP_PORT,
    told_of,
)
from pipelines.network.sightings import (
    ARP,
    DHCP,
    DHCP6,
    HTTP,
    KINDS,
    OT,
    TLS,
    Ends,
    Sighting,
    ends_of,
    function_fields,
    http_fields,
    sighting,
)
from pipelines.network.waiting import Waiting

MAX_QUIC: Final = 4_096
"""QUIC connections that are followed at a time, some 3 KB each as a rule."""
MAX_QUIC_BYTES: Final = 16 << 20
MAX_KEYS: Final = 4
MAX_DATAGRAMS: Final = 32
"""Initial packets that are opened of one connection: a hello needs two or three."""

MAX_DTLS: Final = 1_024
"""DTLS connections that are followed at a time, some 1 KB each as a rule."""
MAX_DTLS_BYTES: Final = 4 << 20
QUIC_COST: Final = 2_048
"""Bytes of memory that a QUIC connection takes with nothing held, its ends included."""
KEYS_COST: Final = 1_024
DTLS_COST: Final = 1_024

_DHCP_PORTS: Final = (67, 68)
_DHCP6_PORTS: Final = (546, 547)
_SSDP: Final = 1900
_INDUSTRIAL: Final = (DNP3_PORT, ENIP_PORT)
_AT_DHCP, _AT_DHCP6, _AT_OT = map(table_of, (_DHCP_PORTS, _DHCP6_PORTS, _INDUSTRIAL))
_DTLS_VERSIONS: Final = table_of(dtls.VERSIONS)
_HTTP: Final = np.array(
    sorted({int.from_bytes((m + " ").encode()[:4], "big") for m in http.METHODS} | {0x48545450}),
    np.int64,
)
_VERSIONS: Final = np.array(sorted(quic.VERSIONS), np.int64)


class _Quic:
    """Hold one QUIC connection until both hellos are read."""

    __slots__ = ("answering", "asked", "client", "crypto", "hellos", "keys", "left", "told")

    def __init__(self, client: Ends) -> None:
        self.client = client
        self.keys: dict[tuple[int, bytes], quic.Keys] = {}
        self.answering: dict[tuple[int, bytes], quic.Keys] = {}
        self.crypto = (quic.Crypto(), quic.Crypto())
        self.hellos = Handshake("q")
        self.left = MAX_DATAGRAMS
        self.asked = self.told = False

    @property
    def held_bytes(self) -> int:
        """Give the bytes of memory that this connection takes."""
        pieces = self.crypto[0].held_bytes + self.crypto[1].held_bytes
        keys = len(self.keys) + len(self.answering)
        return QUIC_COST + KEYS_COST * keys + pieces + self.hellos.held_bytes


class _Dtls:
    """Hold one DTLS connection until both hellos are read."""

    __slots__ = ("client", "hellos", "sides", "told")

    def __init__(self, client: Ends) -> None:
        self.client, self.told = client, False
        self.hellos = Handshake("d")
        self.sides = (dtls.Hello(), dtls.Hello())

    @property
    def held_bytes(self) -> int:
        """Give the bytes of memory that this connection takes."""
        pieces = self.sides[0].held_bytes + self.sides[1].held_bytes
        return DTLS_COST + pieces + self.hellos.held_bytes


class UdpWatch:
    """Find sightings block by block in bounded memory; `evicted` counts what was let go."""

    def __init__(self, kinds: Collection[str] = KINDS) -> None:
        """Begin with no connection known; `kinds` of rows are to be found, no others."""
        self._kinds = kinds
        self._quic = Waiting[_Quic](MAX_QUIC, MAX_QUIC_BYTES)
        self._dtls = Waiting[_Dtls](MAX_DTLS, MAX_DTLS_BYTES)
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._quic)

    @property
    def held_bytes(self) -> int:
        """Give the bytes of hellos that are unfinished or wait for their answers."""
        return self._quic.held_bytes + self._dtls.held_bytes

    def find(self, block: PacketBlock, headers: Headers) -> Iterator[Sighting]:
        """Give this block's sightings in the order of the capture."""
        rows = np.flatnonzero(
            (headers.protocol == UDP)
            & (headers.payload_end > headers.payload)
            & (headers.fragment != LATER_FRAGMENT)
        )
        src_port, dst_port = headers.src_port[rows], headers.dst_port[rows]
        start, size = headers.payload[rows], (headers.payload_end - headers.payload)[rows]
        is_dhcp = _AT_DHCP[dst_port] & _AT_DHCP[src_port] & (size >= 240)
        is_dhcp6 = _AT_DHCP6[dst_port] & (size >= 8)
        first = u8(block.octets, start)
        is_dtls = (first == 22) & (size >= 60) & (u8(block.octets, start + 13) <= 2)
        is_dtls &= _DTLS_VERSIONS[u16(block.octets, start + 1)]
        long_head = (first & 0xC0) == 0xC0
        is_quic = long_head & (size > 40)
        places = np.flatnonzero(is_quic)
        is_quic[places] = np.isin(u32(block.octets, start[places] + 1), _VERSIONS)
        is_http = ((dst_port == _SSDP) | (src_port == _SSDP)) & (size > 12)
        places = np.flatnonzero(is_http)
        is_http[places] = np.isin(u32(block.octets, start[places]), _HTTP)
        is_ot = (_AT_OT[dst_port] | _AT_OT[src_port]) & (size >= 10)
        wanted = {DHCP: is_dhcp, DHCP6: is_dhcp6, TLS: is_quic | is_dtls, HTTP: is_http, OT: is_ot}
        masks = [mask for kind, mask in wanted.items() if kind in self._kinds]
        if not masks:
            return
        chosen = np.flatnonzero(np.logical_or.reduce(masks))
        for at, quick, secured, dynamic, text in zip(
            rows[chosen].tolist(),
            is_quic[chosen].tolist(),
            is_dtls[chosen].tolist(),
            (is_dhcp | is_dhcp6)[chosen].tolist(),
            is_http[chosen].tolist(),
            strict=True,
        ):
            time_ns = int(block.time_ns[at])
            ends = ends_of(headers, at, UDP)
            data = block.octets[int(headers.payload[at]) : int(headers.payload_end[at])]
            if quick:
                yield from self._hello(time_ns, ends, data)
            elif secured:
                yield from self._secured(time_ns, ends, data)
            elif dynamic:
                yield from _lease(time_ns, ends, data)
            elif text:
                yield from _simple_service(time_ns, ends, data)
            else:
                yield from self._functions(time_ns, ends, data)

    def close(self) -> Iterator[Sighting]:
        """Give the hellos that got no answer."""
        for known in self._quic.close():
            yield from known.hellos.close()
        for one in self._dtls.close():
            yield from one.hellos.close()

    def _secured(self, time_ns: int, ends: Ends, data: bytes) -> Iterator[Sighting]:
        known = self._dtls.of(ends)
        for piece in dtls.pieces(data):
            if known is None or (known.told and piece.kind == dtls.CLIENT_HELLO):
                is_server = piece.kind == dtls.SERVER_HELLO
                known = _Dtls(ends.turned() if is_server else ends)
            if known.told:
                continue
            message = known.sides[known.client == ends].add(piece)
            if message:
                known.told = piece.kind == dtls.SERVER_HELLO
                yield from known.hellos.add(time_ns, ends, message)
            for gone in self._dtls.keep(known.client, known):
                self.evicted += 1
                yield from gone.hellos.close()

    def _functions(self, time_ns: int, ends: Ends, data: bytes) -> Iterator[Sighting]:
        from_server = ends.dst_port not in _INDUSTRIAL
        port = ends.src_port if from_server else ends.dst_port
        calls, untold = told_of(CUTTERS[port](data, from_server=from_server)[0])
        self.evicted += untold
        for call in calls:
            yield sighting(OT, time_ns, ends, function_fields(call))

    def _hello(self, time_ns: int, ends: Ends, data: bytes) -> Iterator[Sighting]:
        known = self._quic.of(ends)
        if (known.asked and known.told) if known else len(data) < quic.LEAST_DATAGRAM:
            return
        for packet in quic.initials(data):
            known = known or _Quic(ends)
            from_client = known.client == ends
            # A client that has asked is heard again after a Retry: it then has new keys.
            is_again = from_client and known.asked
            is_known = known.told or (is_again and packet.own in known.keys)
            if not known.left or (is_known and (is_again or not from_client)):
                continue
            known.left -= 1
            payload = _opened(known, data, packet, from_client=from_client)
            message = None
            if payload is not None and not is_again:
                crypto = known.crypto[from_client]
                for offset, piece in quic.crypto_frames(payload):
                    crypto.add(offset, piece)
                message = crypto.message()
            if message:
                known.crypto[from_client].forget()
                known.asked |= from_client
                known.told |= not from_client
                yield from known.hellos.add(time_ns, ends, message)
        if known is not None:
            for gone in self._quic.keep(known.client, known):
                self.evicted += 1
                yield from gone.hellos.close()


def _opened(known: _Quic, data: bytes, packet: quic.Initial, *, from_client: bool) -> bytes | None:
    """Open a packet with the keys of this connection; after a Retry the client has new ones."""
    if not from_client and len(known.answering) < len(known.keys):
        for own in known.keys.keys() - known.answering.keys():
            known.answering[own] = quic.server_keys(*own)
    for keys in (known.keys if from_client else known.answering).values():
        payload = quic.opened(data, packet, keys)
        if payload is not None:
            return payload
    own = packet.own
    if not from_client or own in known.keys or len(known.keys) >= MAX_KEYS:
        return None
    keys = quic.client_keys(*own)
    payload = quic.opened(data, packet, keys)
    if payload is not None:
        known.keys[own] = keys
    return payload


def _lease(time_ns: int, ends: Ends, data: bytes) -> Iterator[Sighting]:
    is_new = ends.dst_port in _DHCP6_PORTS
    message = dhcp6.read_message(data) if is_new else dhcp.read_message(data)
    if message is not None:
        yield sighting(DHCP6 if is_new else DHCP, time_ns, ends, message._asdict())


def _simple_service(time_ns: int, ends: Ends, data: bytes) -> Iterator[Sighting]:
    try:
        head = http.read_head(data, is_all=True)
    except ValueError:
        return
    if head is not None:
        asked = head if head.method else None
        told = ends if asked else ends.turned()
        yield sighting(HTTP, time_ns, told, http_fields(asked, head.status))


def arp_sightings(block: PacketBlock, headers: Headers) -> Iterator[Sighting]:
    """Give the block's ARP messages; the ends are the addresses they speak of, ports 0."""
    rows = np.flatnonzero(headers.arp)
    for at in rows.tolist():
        start = int(headers.arp[at])
        message = arp.read_message(block.octets[start : int(headers.payload_end[at])])
        if message is not None:
            fields = {
                "operation": message.operation,
                "src_mac": message.sender_mac,
                "dst_mac": message.target_mac,
            }
            time_ns = int(block.time_ns[at])
            ends = Ends(message.sender_ip, 0, message.target_ip, 0, "arp", None)
            yield sighting(ARP, time_ns, ends, fields)
