"""Pair the requests and answers of an HTTP/2 connection, stream by stream, to one row each."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.network.protocols.http import HttpHead
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

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        """Begin with no request."""
        self._asked: dict[int, _Asked] = {}

    def upgrade(self, time_ns: int, ends: Ends, asked: HttpHead) -> None:
        """Take the HTTP/1 request that asked for HTTP/2: it is answered on stream 1."""
        self._asked[1] = _Asked(time_ns, ends, asked)

    def add(self, time_ns: int, ends: Ends, block: Block) -> Iterator[Sighting]:
        """Take a header block that was sent so; give the rows that are complete with it."""
        if block.method is not None:
            yield from self._given_up(block.stream)
            while len(self._asked) >= MAX_STREAMS:
                yield from self._given_up(next(iter(self._asked)))
            asked = HttpHead(block.method, block.uri, None, block.host, block.user_agent, 0, None)
            self._asked[block.stream] = _Asked(time_ns, ends, asked)
        elif block.status is not None and block.status >= 200:  # else the real answer follows
            known = self._asked.pop(block.stream, None)
            if known is None:
                yield sighting(HTTP2, time_ns, ends.turned(), http_fields(None, block.status))
            else:
                yield _row(known, block.status)

    def close(self) -> Iterator[Sighting]:
        """Give the requests that got no answer."""
        for stream in list(self._asked):
            yield from self._given_up(stream)

    def _given_up(self, stream: int) -> Iterator[Sighting]:
        known = self._asked.pop(stream, None)
        if known is not None:
            yield _row(known, None)


def _row(known: _Asked, status: int | None) -> Sighting:
    return sighting(HTTP2, known.time_ns, known.ends, http_fields(known.head, status))
