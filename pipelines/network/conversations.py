"""Follow the beginnings of messages in TCP connections: put in order, cut, and read.

A connection is known from the first segment that begins like a message. Each side holds at most
MAX_WAITING bytes of an unfinished message and MAX_EARLY early segments; all together, with the
requests that wait for answers and the tables of HTTP/2, at most MAX_HELD bytes and
MAX_CONVERSATIONS connections, beyond which the longest untouched go. What is let go is counted in
`evicted`.
"""

from typing import Final

from pipelines.network.exchanges import Exchanges
from pipelines.network.hellos import Handshake
from pipelines.network.openings import UNSEEN, Opening
from pipelines.network.protocols import http, http2, ssh, tls
from pipelines.network.protocols.certificates import cut_certificate
from pipelines.network.protocols.industrial import CUTTERS, told_of
from pipelines.network.sides import MAX_WAITING, NOT_YET, WHOLE, Key, Side, distance, nearest
from pipelines.network.sightings import (
    OT,
    SSH,
    Ends,
    Sighting,
    function_fields,
    sighting,
)

MAX_CONVERSATIONS: Final = 16_384
MAX_HELD: Final = 48 << 20
COST: Final = 2_048
"""Bytes of memory that a connection takes with nothing held."""
MAX_EARLY: Final = 16
TLS_RECORDS: Final = (0x14, 0x15, 0x16)
"""Records with which a segment that holds a hello may begin."""
_PREFACE: Final = http2.PREFACE[:4]
_LINE_END: Final = b"\r\n"
_METHODS: Final = frozenset((method + " ").encode()[:4] for method in http.METHODS)
_WORDS: Final = _METHODS | {b"HTTP", b"SSH-", _PREFACE}
_FIRST: Final = frozenset((*TLS_RECORDS, _LINE_END[0], *(word[0] for word in _WORDS)))
MAX_CUT: Final = 1 << 16
"""The same of an industrial protocol."""
FAR: Final = 1 << 20
"""A segment this far off its place belongs to another connection of the same ends."""


class Conversation:
    """Hold one connection: `sides[1]` sends as `ends` say, `sides[0]` the other way.

    `keys`: what tells it from others of the same mix, for either side. `syn`: sequence number and
    hash of the data in the SYN with which it began, if there were any. `counted`: bytes of those
    held that are in the watch's book, those of the sides apart.
    """

    __slots__ = (
        "_certifier", "_client", "_cut", "_hellos", "_http", "_lost", "_server", "_turned",
        "_wanted", "counted", "ends", "keys", "last_ns", "sides", "syn",
    )  # fmt: skip

    def __init__(
        self,
        ends: Ends,
        keys: tuple[Key, Key],
        mixes: tuple[int, int],
        opening: Opening = UNSEEN,
        *,
        files: bool = False,
        calls: bool = True,
    ) -> None:
        """Begin with nothing seen but the SYNs; keys and mixes of the sides 0 and 1.

        `files`: read bodies; `calls`: those of HTTP/2 are wanted.
        """
        self.ends, self._turned = ends, ends.turned()
        self.keys = keys
        self.sides = (Side(mixes[0], opening.began[0]), Side(mixes[1], opening.began[1]))
        by_port = int(ends.src_port >= ends.dst_port)
        self._client = by_port if opening.client is None else opening.client
        self.syn: tuple[int, int] | None = None
        self._lost = self.counted = 0
        self.last_ns = 0
        self._hellos: Handshake | None = None
        self._certifier: Side | None = None
        # Of two ports with a protocol the receiver's counts, as if the side were the client.
        by_receiver = CUTTERS.get(ends.dst_port)
        self._cut = by_receiver or CUTTERS.get(ends.src_port)
        self._server = 0 if by_receiver else 1
        self._http: Exchanges | None = None
        self._wanted = (files, calls)

    def _exchanges(self) -> Exchanges:
        """Give what reads HTTP here; most connections have no need of it."""
        if self._http is None:
            # An industrial message may stand anywhere at such a port: nothing is stepped over.
            files, calls = self._wanted
            self._http = Exchanges(
                (self._turned, self.ends), self.sides, self._client,
                files=files, calls=calls, steps=self._cut is None,
            )  # fmt: skip
        return self._http

    @property
    def evicted(self) -> int:
        """Give how many messages were let go."""
        return self._lost + (self._http.evicted if self._http else 0)

    @property
    def held_bytes(self) -> int:
        """Give the bytes of what belongs to no side alone: itself, requests, hellos that wait."""
        held, http = COST, self._http
        if http is not None:
            held += http.asked.held_bytes + (http.calls.held_bytes if http.calls else 0)
        return held + self._hellos.held_bytes if self._hellos else held

    def is_again(self, sequence: int, data: bytes) -> bool:
        """Tell whether a SYN is the one with which this began; not if more was read since."""
        told = self.sides[1]
        at_end = told.expected == (sequence + len(data)) % WHOLE
        return at_end and self.syn == (sequence, hash(data))

    def add(
        self,
        time_ns: int,
        side: int,
        sequence: int,
        payload: bytes,
        found: list[Sighting],
        *,
        begins: bool,
    ) -> None:
        """Take a segment; add what it completes to `found`. `begins`: like a message."""
        told = self.sides[side]
        if told.expected == NOT_YET:
            told.expected = sequence
        off = distance(sequence, told.expected)
        if begins and (sequence == told.began or (off and abs(off) > FAR)):
            off = self._begun_anew(time_ns, side, sequence, off, found)
        if off < 0:
            payload = payload[-off:]
            if not payload:
                return
            begins = False
        elif off > 0:
            if told.follows:
                told.hold(sequence, payload)
                if len(told.early) <= MAX_EARLY:
                    return
                self._skip_gap(time_ns, side, found)
                return
            if not begins:
                return
            told.expected = sequence
        if not (begins or told.follows):
            return
        self._in_order(time_ns, side, payload, found)

    def _begun_anew(
        self, time_ns: int, side: int, sequence: int, off: int, found: list[Sighting]
    ) -> int:
        """Begin a side anew where a message stands at its first byte, or far off; give how far."""
        told = self.sides[side]
        if sequence == told.began:
            told.began = NOT_YET
            if off and self._http:
                self._http.restart(time_ns, side, found)
        elif off < 0 and told.knows_past:
            return off
        if off:
            told.forget()
            told.expected = sequence
        return 0

    def _skip_gap(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Give a message up whose middle does not come; read what was held behind the gap."""
        told = self.sides[side]
        self._lost += 1
        if self._http:
            self._http.give_up(time_ns, side, found)
        if told is self._certifier and self._hellos is not None:
            self._certifier = None
            found.extend(self._hellos.certify(b""))
        while told.early:
            at = nearest(told)
            payload = told.early.pop(at)
            off = distance(at, told.expected)
            if off > 0:
                told.drop()
                told.expected = at
            elif off < 0:
                payload = payload[-off:]
            if payload:
                self._in_order(time_ns, side, payload, found)

    def _in_order(self, time_ns: int, side: int, payload: bytes, found: list[Sighting]) -> None:
        """Read a segment that is next, and the early ones for which it made way."""
        told = self.sides[side]
        while True:
            if payload:
                told.expected = (told.expected + len(payload)) % WHOLE
                data = payload
                if told.waiting:
                    self._give_way(told, side, payload)
                    data, told.waiting = told.waiting + payload, b""
                if not told.puts_off(data):
                    self._consume(time_ns, side, data, found)
            if not told.early or not told.follows:
                return
            at = nearest(told)
            off = distance(at, told.expected)
            if off > 0:
                return
            payload = told.early.pop(at)[-off if off else 0 :]

    def _give_way(self, told: Side, side: int, payload: bytes) -> None:
        """Drop an unfinished text behind which an industrial message stands."""
        if self._cut is None or not _is_no_call(told.waiting):
            return
        if self._cut(payload, from_server=side == self._server)[0]:
            told.drop()

    def _consume(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        """Read the messages in bytes that begin one; keep the rest if it may become one."""
        told = self.sides[side]
        told.follows = False
        if told.body is not None or told.frames is not None or told.in_chunks:
            data = self._exchanges().goes_on(time_ns, side, data, found)
            if not data:
                return
        if told.muted:
            return
        if self._cut is not None and not (data[0] in _FIRST and _is_no_call(data)):
            cut, rest = self._cut(data, from_server=side == self._server)
            calls, untold = told_of(cut)
            self._lost += untold
            ends = self.ends if side else self._turned
            found.extend(sighting(OT, time_ns, ends, function_fields(call)) for call in calls)
            if rest:
                self._lost += told.keep(rest, most=MAX_CUT)
        elif data[0] in TLS_RECORDS:
            self._hello(time_ns, side, data, found)
        elif data.startswith(b"SSH-"[: len(data)]):
            self._banner(time_ns, side, data, found)
        elif data.startswith(_PREFACE) or http2.begins_with_settings(data):
            self._exchanges().begin_frames(time_ns, side, data, found)
        else:
            self._exchanges().heads(time_ns, side, data, found)

    def _hello(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        try:
            message = tls.cut_hello(data)
        except ValueError as error:
            self._lost += isinstance(error, tls.TooManyRecords)
            return
        if message is None:
            self._lost += self.sides[side].keep(data, tls.least_size(data))
            return
        told = self.sides[side]
        if self._hellos is None:
            self._hellos = Handshake("t")
        if message[0] == tls.CLIENT_HELLO:
            self.sides[1 - side].muted = False
        if told is not self._certifier:
            ends = self.ends if side else self._turned
            found.extend(self._hellos.add(time_ns, ends, message))
        if self._hellos.awaits_certificate and message[0] == tls.SERVER_HELLO:
            self._certificate(told, data, self._hellos, found)

    def _certificate(
        self, told: Side, data: bytes, hellos: Handshake, found: list[Sighting]
    ) -> None:
        """Read the certificate behind a server's hello, which is held until it is whole."""
        certificate = cut_certificate(data)
        if certificate is None and len(data) <= MAX_WAITING:
            self._certifier = told
            self._lost += told.keep(data, tls.least_size(data))
            return
        self._certifier = None
        found.extend(hellos.certify(certificate or b""))

    def _banner(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        line = ssh.banner_in(data)
        if line is None:
            self._lost += self.sides[side].keep(data)
        elif line:
            ends = self.ends if side else self._turned
            self.sides[1 - side].muted = False
            is_server = side != self._client
            said = sighting(SSH, time_ns, ends, {"banner": line, "is_server": is_server})
            found.append(said)

    def close(self, found: list[Sighting]) -> None:
        """Give the requests and hellos that got no answer, and what was held behind gaps."""
        for side, told in enumerate(self.sides):
            if self._http:
                self._http.end_body(self.last_ns, side, found)
            if told.early and told.follows:
                self._skip_gap(self.last_ns, side, found)
            is_text = told.waiting and (self._cut is None or _is_no_call(told.waiting))
            if is_text and told.waiting[0] not in TLS_RECORDS:
                self._exchanges().cut_off(self.last_ns, side, found)
        if self._http:
            self._http.close(found)
        if self._hellos is not None:
            found.extend(self._hellos.close())


def _is_no_call(data: bytes) -> bool:
    """Tell, at an industrial port, bytes that begin as TLS, HTTP or SSH does.

    In Modbus the third and fourth byte are 0, S7comm begins with 3, DNP3 with 5, EtherNet/IP with a
    command below 256, the lower byte first: none of them begins so.
    """
    if data[:4] in _WORDS or (data[0] == _LINE_END[0] and data[2:6] in _WORDS):
        return True
    is_record = data[0] in TLS_RECORDS and len(data) >= 5 and data[1] == 3
    return is_record and (data[2] > 0 or data[3] > 1)
