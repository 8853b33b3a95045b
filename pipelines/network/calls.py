"""Pair the requests and answers of an HTTP/2 connection, stream by stream, to one row each."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.network.protocols.http import HttpHead, held_bytes
from pipelines.network.protocols.http2 import Block
from pipelines.network.sightings import HTTP2, Ends, Sighting, http_fields, sighting

MAX_STREAMS: Final = 256
"""Requests of one connection that wait for their answers."""
SWITCHED: Final = 101


class _Asked(NamedTuple):
    time_ns: int
    ends: Ends
    head: HttpHead


class Calls:
    """Hold requests until their answers come; beyond MAX_STREAMS the oldest go without."""

    __slots__ = ("_asked", "held_bytes")

    def __init__(self) -> None:
        """Begin with no request; `held_bytes`: what the requests take."""
        self._asked: dict[int, _Asked] = {}
        self.held_bytes = 0

    def upgrade(self, time_ns: int, ends: Ends, asked: HttpHead) -> None:
        """Take the HTTP/1 request that asked for HTTP/2: it is answered on stream 1."""
        self._hold(1, _Asked(time_ns, ends, asked))

    def add(self, time_ns: int, ends: Ends, block: Block) -> Iterator[Sighting]:
        """Take a header block that was sent so; give the rows that are complete with it."""
        if block.method is not None:
            yield from self._given_up(block.stream)
            while len(self._asked) >= MAX_STREAMS:
                yield from self._given_up(next(iter(self._asked)))
            asked = HttpHead(block.method, block.uri, None, block.host, block.user_agent, 0, None)
            self._hold(block.stream, _Asked(time_ns, ends, asked))
        elif block.status is not None and block.status >= 200:  # else the real answer follows
            known = self._taken(block.stream)
            if known is None:
                yield sighting(HTTP2, time_ns, ends.turned(), http_fields(None, block.status))
            else:
                yield _row(known, block.status)

    def close(self) -> Iterator[Sighting]:
        """Give the requests that got no answer."""
        for stream in list(self._asked):
            yield from self._given_up(stream)

    def _hold(self, stream: int, asked: _Asked) -> None:
        self._asked[stream] = asked
        self.held_bytes += held_bytes(asked.head)

    def _taken(self, stream: int) -> _Asked | None:
        known = self._asked.pop(stream, None)
        if known is not None:
            self.held_bytes -= held_bytes(known.head)
        return known

    def _given_up(self, stream: int) -> Iterator[Sighting]:
        known = self._taken(stream)
        if known is not None:
            yield _row(known, None)


def _row(known: _Asked, status: int | None) -> Sighting:
    return sighting(HTTP2, known.time_ns, known.ends, http_fields(known.head, status))
