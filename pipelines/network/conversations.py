"""Follow the beginnings of messages in TCP connections: put in order, cut, and read.

A connection is known from the first segment that begins like a message. Each side holds at most
MAX_WAITING bytes of an unfinished message and MAX_EARLY early segments; all together, with the
requests that wait for answers and the tables of HTTP/2, at most MAX_HELD bytes and
MAX_CONVERSATIONS connections, beyond which the longest untouched go. What is let go is counted in
`evicted`.
"""

from typing import Final

from pipelines.network.asked import Asked
from pipelines.network.calls import SWITCHED, Calls
from pipelines.network.hellos import Handshake
from pipelines.network.protocols import http, http2, ssh, tls
from pipelines.network.protocols.bodies import Body
from pipelines.network.protocols.certificates import cut_certificate
from pipelines.network.protocols.http import HttpHead
from pipelines.network.protocols.industrial import CUTTERS, told_of
from pipelines.network.sides import NOT_YET, WHOLE, Key, Side, distance, nearest
from pipelines.network.sightings import (
    FILES,
    HTTP,
    OT,
    SSH,
    Ends,
    Sighting,
    function_fields,
    http_fields,
    sighting,
)

MAX_CONVERSATIONS: Final = 16_384
MAX_HELD: Final = 48 << 20
COST: Final = 2_048
"""Bytes of memory that a connection takes with nothing held."""
MAX_WAITING: Final = 16_384 + 2_048
MAX_EARLY: Final = 16
TLS_RECORDS: Final = (0x14, 0x15, 0x16)
"""Records with which a segment that holds a hello may begin."""
_PREFACE: Final = http2.PREFACE[:4]
FAR: Final = 1 << 20
"""A segment this far off its place belongs to another connection of the same ends."""


class Conversation:
    """Hold one connection: `sides[1]` sends as `ends` say, `sides[0]` the other way.

    `keys`: what tells it from others of the same mix, for either side; `counted`: as a side's.
    """

    __slots__ = (
        "_asked", "_bodiless", "_calls", "_certifier", "_cut", "_files", "_has_calls", "_hellos",
        "_of", "_server", "_turned", "counted", "ends", "evicted", "keys", "last_ns", "sides",
    )  # fmt: skip

    def __init__(
        self,
        ends: Ends,
        keys: tuple[Key, Key],
        mixes: tuple[int, int],
        *,
        files: bool = False,
        calls: bool = True,
    ) -> None:
        """Begin with nothing seen; keys and mixes of the sides 0 and 1.

        `files`: read bodies; `calls`: those of HTTP/2 are wanted.
        """
        self._files, self._has_calls = files, calls
        self._of: HttpHead | None = None
        self.ends, self._turned = ends, ends.turned()
        self.keys = keys
        self.sides = (Side(mixes[0]), Side(mixes[1]))
        self.evicted = self.last_ns = self.counted = 0
        self._bodiless = False
        self._hellos: Handshake | None = None
        self._certifier: Side | None = None
        self._calls: Calls | None = None
        self._asked = Asked()
        # Of two ports with a protocol the receiver's counts, as if the side were the client.
        by_receiver = CUTTERS.get(ends.dst_port)
        self._cut = by_receiver or CUTTERS.get(ends.src_port)
        self._server = 0 if by_receiver else 1

    @property
    def held_bytes(self) -> int:
        """Give the bytes of what belongs to no side alone: itself, requests, hellos that wait."""
        held = COST + self._asked.held_bytes + (self._calls.held_bytes if self._calls else 0)
        return held + self._hellos.held_bytes if self._hellos else held

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
        if off and begins and abs(off) > FAR and not (told.follows and off < 0):
            told.forget()
            told.expected, off = sequence, 0
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

    def _skip_gap(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Give a message up whose middle does not come; read what was held behind the gap."""
        told = self.sides[side]
        self.evicted += 1
        self._end_body(time_ns, side, found)
        told.in_chunks, told.frames = False, None
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

    def _consume(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        """Read the messages in bytes that begin one; keep the rest if it may become one."""
        told = self.sides[side]
        told.follows = False
        if told.body is not None:
            data = self._fed(time_ns, side, told.body, data, found)
            if not data:
                return
        if told.frames is not None:
            self._framed(time_ns, side, told.frames, data, found)
            return
        if told.in_chunks:
            data = self._behind_chunks(told, data, 0)
            if not data:
                return
        if self._cut is not None:
            cut, rest = self._cut(data, from_server=side == self._server)
            calls, untold = told_of(cut)
            self.evicted += untold
            ends = self.ends if side else self._turned
            found.extend(sighting(OT, time_ns, ends, function_fields(call)) for call in calls)
            self._keep(told, rest)
        elif data[0] in TLS_RECORDS:
            self._hello(time_ns, side, data, found)
        elif data.startswith(b"SSH-"[: len(data)]):
            self._banner(time_ns, side, data, found)
        elif data.startswith(_PREFACE) or http2.begins_with_settings(data):
            self._switched(time_ns, side, data, found)
        else:
            self._heads(time_ns, side, data, found)

    def _switched(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        """Read HTTP/2 from here on, if it is wanted."""
        if not self._has_calls:
            return
        frames = self.sides[side].frames = http2.Frames()
        self._framed(time_ns, side, frames, data, found)

    def _framed(
        self, time_ns: int, side: int, frames: http2.Frames, data: bytes, found: list[Sighting]
    ) -> None:
        told = self.sides[side]
        try:
            blocks, at = frames.take(data)
        except ValueError:
            told.frames = None
            self.evicted += 1
            return
        self._calls = self._calls or Calls()
        for block in blocks:
            found.extend(self._calls.add(time_ns, self.ends if side else self._turned, block))
        if at < len(data):
            self._keep(told, data[at:])
        else:
            told.skip(at - len(data))

    def _keep(self, told: Side, rest: bytes, least: int = 0) -> None:
        if rest and len(rest) <= (MAX_WAITING if self._cut is None else 1 << 16):
            told.waiting, told.follows, told.least = rest, True, min(least, MAX_WAITING + 1)
        elif rest:
            self.evicted += 1

    def _hello(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        try:
            message = tls.cut_hello(data)
        except ValueError as error:
            self.evicted += isinstance(error, tls.TooManyRecords)
            return
        if message is None:
            self._keep(self.sides[side], data, tls.least_size(data))
            return
        told = self.sides[side]
        if self._hellos is None:
            self._hellos = Handshake("t")
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
            self._keep(told, data, tls.least_size(data))
            return
        self._certifier = None
        found.extend(hellos.certify(certificate or b""))

    def _banner(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        line = ssh.banner_in(data)
        if line is None:
            self._keep(self.sides[side], data)
        elif line:
            ends = self.ends if side else self._turned
            is_server = ends.src_port < ends.dst_port
            said = sighting(SSH, time_ns, ends, {"banner": line, "is_server": is_server})
            found.append(said)

    def _heads(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        told = self.sides[side]
        for _ in range(http.MAX_HEADS):
            if not data:
                return
            try:
                head = http.read_head(data)
            except ValueError:
                return
            if head is None:
                self._keep(told, data)
                told.searched = len(data)
                return
            if head.status == SWITCHED and http.names_http2(data[: head.size]) and self._asked:
                self._calls = Calls()
                self._calls.upgrade(*self._asked.first)
                self._head(time_ns, side, head, found)
                self._switched(time_ns, side, data[head.size :], found)
                return
            self._head(time_ns, side, head, found)
            body = 0 if head.status and self._bodiless else head.length
            if self._files and body != 0 and self._cut is None:
                told.body = Body(data[: head.size], body, is_chunked=head.is_chunked)
                data = self._fed(time_ns, side, told.body, data[head.size :], found)
                continue
            if body is None:
                # Until the end, or in chunks. The next head is known by how its segment begins;
                # only where more than one request waits may it begin elsewhere.
                has_more = head.is_chunked and (head.method is not None or bool(self._asked))
                data = self._behind_chunks(told, data, head.size) if has_more else b""
                continue
            if body >= len(data) - head.size:
                # The body goes on (or ends here): what lies in it is not looked at.
                missing = body - (len(data) - head.size)
                if missing:
                    told.skip(missing)
                return
            data = data[head.size + body :]
        self.evicted += bool(data)

    def _behind_chunks(self, told: Side, data: bytes, at: int) -> bytes:
        """Give what stands behind a body in chunks; nothing yet where it goes on."""
        try:
            at, is_over = http.behind_chunks(data, at)
        except ValueError:
            told.in_chunks = False
            return b""
        told.in_chunks = not is_over
        if is_over:
            return data[at:]
        if at < len(data):
            self._keep(told, data[at:])
            return b""
        told.skip(at - len(data))
        return b""

    def _fed(
        self, time_ns: int, side: int, body: Body, data: bytes, found: list[Sighting]
    ) -> bytes:
        """Give bytes to a body; give those behind it."""
        told, taken = self.sides[side], data[: body.wanted]
        body.add(taken)
        surplus = 0
        if body.is_chunked:
            try:
                surplus = body.surplus()
            except ValueError:
                self._end_body(time_ns, side, found)
                return b""
        if body.wanted and not body.is_over:
            told.follows = True
            return b""
        self._end_body(time_ns, side, found)
        if body.is_over:
            return data[len(taken) - surplus :]
        if body.length is None:
            return b""
        behind, rest = body.length - len(body), data[len(taken) :]
        if behind <= len(rest):
            return rest[behind:]
        told.skip(behind - len(rest))
        return b""

    def _end_body(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        told = self.sides[side]
        if told.body is not None and len(told.body):
            of = http_fields(self._of, None)
            fields = {name: of[name] for name in ("method", "host", "uri")} | told.body.fields()
            found.append(sighting(FILES, time_ns, self.ends if side else self._turned, fields))
        told.body = None

    def _head(self, time_ns: int, side: int, head: HttpHead, found: list[Sighting]) -> None:
        ends = self.ends if side else self._turned
        if head.method is not None:
            self._asked.add(time_ns, ends, head, found)
            self._of = head
            return
        status = head.status or 0
        self._bodiless = status < 200 or status in (204, 304)
        if status < 200 and status != SWITCHED:
            return  # an interim answer: the real one follows
        if self._asked:
            self._of = self._asked.first[2]
            self._bodiless |= self._of.method in ("HEAD", "CONNECT")
            found.append(self._asked.answered(status))
        else:
            found.append(sighting(HTTP, time_ns, ends.turned(), http_fields(None, status)))

    def close(self, found: list[Sighting]) -> None:
        """Give the requests and hellos that got no answer, and what was held behind gaps."""
        for side, told in enumerate(self.sides):
            self._end_body(self.last_ns, side, found)
            if told.early and told.follows:
                self._skip_gap(self.last_ns, side, found)
            if told.waiting and self._cut is None and told.waiting[0] not in TLS_RECORDS:
                self._cut_off(told, found)
        while self._asked:
            found.append(self._asked.answered(None))
        if self._hellos is not None:
            found.extend(self._hellos.close())
        if self._calls is not None:
            found.extend(self._calls.close())

    def _cut_off(self, told: Side, found: list[Sighting]) -> None:
        try:
            head = http.read_head(told.waiting, is_all=True)
        except ValueError:
            return
        told.forget()
        if head is not None:
            self._head(self.last_ns, int(told is self.sides[1]), head, found)
