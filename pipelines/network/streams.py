"""Put the bytes of TCP streams together in order, for the few streams that somebody follows."""

from typing import Final, NamedTuple

MAX_STREAMS: Final = 1_024
MAX_HELD_BYTES: Final = 65_537
MAX_ALL_BYTES: Final = 8 << 20
"""Unread bytes of all streams, with STREAM_COST for each."""
STREAM_COST: Final = 1_024
_SYN: Final = 2

End = tuple[bytes, int, bytes, int]
"""One direction of a connection: source address and port, destination address and port."""


class _Stream(NamedTuple):
    expected: int
    held: bytes


class Streams:
    """Hold the unread bytes of the latest MAX_STREAMS directions, MAX_HELD_BYTES each.

    All together at most MAX_ALL_BYTES; `evicted` counts the directions whose bytes were let go.
    Segments count in order only: what was sent again is dropped, and after a gap a stream begins
    anew with the next segment.
    """

    def __init__(self) -> None:
        """Begin with no stream known."""
        self._streams: dict[End, _Stream] = {}
        self.held_bytes = self.evicted = 0

    def add(self, end: End, sequence: int, flags: int, payload: bytes) -> bytes:
        """Add a segment, unless it is an old one; give the stream's unread bytes."""
        sequence = (sequence + (1 if flags & _SYN else 0)) & 0xFFFFFFFF
        before = self._take(end) if end in self._streams else _Stream(sequence, b"")
        if 0 < (before.expected - sequence) & 0xFFFFFFFF < 1 << 31 and not flags & _SYN:
            self._put(end, before)
            return before.held
        unread = (before.held if before.expected == sequence else b"") + payload
        self._put(end, _Stream((sequence + len(payload)) & 0xFFFFFFFF, unread))
        return unread

    def keep(self, end: End, rest: bytes) -> None:
        """Keep only `rest` of the stream's unread bytes (nothing, if it is too long to hold)."""
        if end in self._streams:
            held = rest if len(rest) <= MAX_HELD_BYTES else b""
            self._put(end, self._take(end)._replace(held=held))

    def _take(self, end: End) -> _Stream:
        stream = self._streams.pop(end)
        self.held_bytes -= STREAM_COST + len(stream.held)
        return stream

    def _put(self, end: End, stream: _Stream) -> None:
        self._streams[end] = stream
        self.held_bytes += STREAM_COST + len(stream.held)
        while len(self._streams) > MAX_STREAMS or self.held_bytes > MAX_ALL_BYTES:
            oldest = next(iter(self._streams))
            if oldest == end:
                break
            self.evicted += bool(self._take(oldest).held)
