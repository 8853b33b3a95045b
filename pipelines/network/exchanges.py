"""Read what HTTP says on a connection: pair requests and answers, step over or keep bodies.

HTTP/2 in clear text is read from its beginning on; HTTP/1 from any segment that begins like a
message.
"""

from pipelines.network.asked import Asked
from pipelines.network.calls import SWITCHED, Calls
from pipelines.network.protocols import http, http2
from pipelines.network.protocols.bodies import Body
from pipelines.network.protocols.http import HttpHead
from pipelines.network.sides import Side
from pipelines.network.sightings import FILES, HTTP, Ends, Sighting, http_fields, sighting


class Exchanges:
    """Hold the requests of one connection that wait; `sides[1]` sends as `ends[1]` say.

    What a server sends inside a body is no message: bodies are stepped over; behind one without an
    end, or that cannot be followed to it, the side is muted until the other asks again. `evicted`
    counts the messages that were let go.
    """

    __slots__ = (
        "_bodiless", "_client", "_ends", "_files", "_has_calls", "_of", "_sides", "_steps", "asked",
        "calls", "evicted",
    )  # fmt: skip

    def __init__(
        self,
        ends: tuple[Ends, Ends],
        sides: tuple[Side, Side],
        client: int,
        *,
        files: bool,
        calls: bool,
        steps: bool,
    ) -> None:
        """Begin with no request. `client`: the side that seems to be it.

        `files`: read bodies; `calls`: those of HTTP/2 are wanted; `steps`: step over bodies, since
        nothing else than messages of this connection can stand in them.
        """
        self._ends, self._sides, self._client = ends, sides, client
        self._files, self._has_calls, self._steps = files and steps, calls, steps
        self._of: HttpHead | None = None
        self._bodiless = False
        self.calls: Calls | None = None
        self.asked = Asked()
        self.evicted = 0

    def goes_on(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> bytes:
        """Take bytes of what began before; give those behind it, which begin a message."""
        told = self._sides[side]
        if told.body is not None and told.body.is_left:
            self.end_body(time_ns, side, found)
        if told.body is not None:
            data = self._fed(time_ns, side, told.body, data, found)
        if told.frames is not None and data:
            self._framed(time_ns, side, told.frames, data, found)
            return b""
        if told.in_chunks and data:
            data = self._behind_chunks(told, data, 0)
        return data

    def begin_frames(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        """Read HTTP/2 from here on, if it is wanted."""
        if not self._has_calls:
            return
        frames = self._sides[side].frames = http2.Frames()
        self._framed(time_ns, side, frames, data, found)

    def heads(self, time_ns: int, side: int, data: bytes, found: list[Sighting]) -> None:
        """Read the heads with which bytes begin, and step over bodies between them."""
        told = self._sides[side]
        for _ in range(http.MAX_HEADS):
            if not data:
                return
            try:
                head = http.read_head(data)
            except ValueError:
                return
            if head is None:
                self.evicted += told.keep(data)
                told.searched = len(data)
                return
            if head.status == SWITCHED and http.names_http2(data[: head.size]) and self.asked:
                self.calls = Calls()
                self.calls.upgrade(*self.asked.first)
                self._head(time_ns, side, head, found)
                self.begin_frames(time_ns, side, data[head.size :], found)
                return
            self._head(time_ns, side, head, found)
            data = self._behind_head(time_ns, side, head, data, found)
        self.evicted += bool(data)

    def give_up(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Let go what a gap interrupts."""
        told = self._sides[side]
        had_begun = told.in_chunks or told.body is not None
        self.end_body(time_ns, side, found)
        told.in_chunks, told.frames = False, None
        if had_begun and not self.asked:
            # The answers that are waited for may stand behind the gap.
            self._mute(told)

    def restart(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Let go what came before a side's first byte did: it takes no answer."""
        self.end_body(time_ns, side, found)
        while self.asked and self.asked.first[1] == self._ends[side]:
            found.append(self.asked.answered(None))

    def end_body(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Tell of a body as far as it was seen."""
        told = self._sides[side]
        if told.body is not None and len(told.body):
            of = http_fields(told.body.asked, None)
            fields = {name: of[name] for name in ("method", "host", "uri")} | told.body.fields()
            found.append(sighting(FILES, time_ns, self._ends[side], fields))
        told.body = None

    def cut_off(self, time_ns: int, side: int, found: list[Sighting]) -> None:
        """Read a head of which no more comes."""
        told = self._sides[side]
        try:
            head = http.read_head(told.waiting, is_all=True)
        except ValueError:
            return
        told.forget()
        if head is not None:
            self._head(time_ns, side, head, found)

    def close(self, found: list[Sighting]) -> None:
        """Give the requests that got no answer."""
        while self.asked:
            found.append(self.asked.answered(None))
        if self.calls is not None:
            found.extend(self.calls.close())

    def _framed(
        self, time_ns: int, side: int, frames: http2.Frames, data: bytes, found: list[Sighting]
    ) -> None:
        told = self._sides[side]
        try:
            blocks, at = frames.take(data)
        except ValueError:
            told.frames = None
            self.evicted += 1
            return
        self.calls = self.calls or Calls()
        for block in blocks:
            found.extend(self.calls.add(time_ns, self._ends[side], block))
        if at < len(data):
            self.evicted += told.keep(data[at:])
        else:
            told.skip(at - len(data))

    def _behind_head(
        self, time_ns: int, side: int, head: HttpHead, data: bytes, found: list[Sighting]
    ) -> bytes:
        """Step over the body that a head announces, or keep it; give what stands behind it."""
        told = self._sides[side]
        body = 0 if head.status and self._bodiless else head.length
        if self._files and body != 0:
            told.body = Body(data[: head.size], body, self._of, is_chunked=head.is_chunked)
            return self._fed(time_ns, side, told.body, data[head.size :], found)
        if body is not None and head.size + body <= len(data):
            return data[head.size + body :]
        if not self._steps:
            return b""
        if body is not None:
            self._skip(told, head.size + body - len(data))
        elif head.is_chunked:
            return self._behind_chunks(told, data, head.size)
        else:
            self._mute(told)
        return b""

    def _behind_chunks(self, told: Side, data: bytes, at: int) -> bytes:
        """Give what stands behind a body in chunks; nothing yet where it goes on."""
        try:
            at, is_over = http.behind_chunks(data, at)
        except ValueError:
            self._mute(told)
            return b""
        told.in_chunks = not is_over
        if is_over:
            return data[at:]
        if at >= len(data):
            self._skip(told, at - len(data))
        elif told.keep(data[at:], most=http.MAX_HEAD - 1):
            self.evicted += 1
            self._mute(told)
        elif b"\n" in data[at:]:
            told.searched = len(data) - at  # fields behind the last chunk end as a head does
        return b""

    def _skip(self, told: Side, size: int) -> None:
        if not told.skip(size):
            self._mute(told)

    def _mute(self, told: Side) -> None:
        """Read nothing of what goes on without a known end, if it is an answer."""
        told.in_chunks = False
        told.muted = told.answers

    def _fed(
        self, time_ns: int, side: int, body: Body, data: bytes, found: list[Sighting]
    ) -> bytes:
        """Give bytes to a body; give those behind it."""
        told, taken = self._sides[side], data[: body.wanted]
        body.add(taken)
        surplus = 0
        if body.is_chunked:
            try:
                surplus = body.surplus()
            except ValueError:
                self.end_body(time_ns, side, found)
                self._mute(told)
                return b""
        if body.wanted and not body.is_over:
            told.follows = True
            return b""
        self.end_body(time_ns, side, found)
        rest = data[len(taken) - surplus :]
        if body.is_over:
            return rest
        if body.is_chunked:
            seen = min(body.next_chunk, len(body))
            return self._behind_chunks(told, body.behind(seen) + rest, body.next_chunk - seen)
        if body.length is None:
            self._mute(told)
            return b""
        behind = body.length - len(body)
        if behind <= len(rest):
            return rest[behind:]
        self._skip(told, behind - len(rest))
        return b""

    def _head(self, time_ns: int, side: int, head: HttpHead, found: list[Sighting]) -> None:
        told = self._sides[side]
        if head.method is not None:
            self.asked.add(time_ns, self._ends[side], head, found)
            self._of, told.answers = head if self._files else None, False
            other = self._sides[1 - side]
            other.muted = False
            if other.body is not None and other.body.is_endless:
                other.body.is_left = True
            return
        status = head.status or 0
        self._bodiless = status < 200 or status in (204, 304)
        if status < 200 and status != SWITCHED:
            return  # an interim answer: the real one follows
        # Who is no server and was not asked does not become silent by a false answer.
        told.answers = bool(self.asked) or side != self._client
        if self.asked:
            of = self.asked.first[2]
            self._of = of if self._files else None
            self._bodiless |= of.method == "HEAD" or (of.method == "CONNECT" and status < 300)
            found.append(self.asked.answered(status))
        else:
            self._of = None
            found.append(sighting(HTTP, time_ns, self._ends[1 - side], http_fields(None, status)))
