"""Put the bytes of TCP streams together in order, for the few streams that somebody follows."""

from typing import Final, NamedTuple

MAX_STREAMS: Final = 1_024
MAX_HELD_BYTES: Final = 65_537
_SYN: Final = 2

End = tuple[bytes, int, bytes, int]
"""One direction of a connection: source address and port, destination address and port."""


class _Stream(NamedTuple):
    expected: int
    held: bytes


class Streams:
    """Hold the unread bytes of the latest MAX_STREAMS directions, MAX_HELD_BYTES each.

    Segments count in order only: what was sent again is dropped, and after a gap a stream begins
    anew with the next segment.
    """

    def __init__(self) -> None:
        """Begin with no stream known."""
        self._streams: dict[End, _Stream] = {}

    def add(self, end: End, sequence: int, flags: int, payload: bytes) -> bytes:
        """Add a segment, unless it is an old one; give the stream's unread bytes."""
        sequence = (sequence + (1 if flags & _SYN else 0)) & 0xFFFFFFFF
        before = self._streams.pop(end, _Stream(sequence, b""))
        if 0 < (before.expected - sequence) & 0xFFFFFFFF < 1 << 31 and not flags & _SYN:
            self._streams[end] = before
            return before.held
        unread = (before.held if before.expected == sequence else b"") + payload
        while len(self._streams) >= MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        self._streams[end] = _Stream((sequence + len(payload)) & 0xFFFFFFFF, unread)
        return unread

    def keep(self, end: End, rest: bytes) -> None:
        """Keep only `rest` of the stream's unread bytes (nothing, if it is too long to hold)."""
        stream = self._streams.get(end)
        if stream is not None:
            held = rest if len(rest) <= MAX_HELD_BYTES else b""
            self._streams[end] = stream._replace(held=held)
