"""Hold what is unfinished of one direction of a connection, and where its next byte stands."""

from typing import Final

from pipelines.network.protocols.bodies import Body
from pipelines.network.protocols.http2 import Frames

NOT_YET: Final = -1
"""Instead of a sequence number, before a side has sent."""
HALF: Final = 1 << 31
WHOLE: Final = 1 << 32


def distance(sequence: int, expected: int) -> int:
    """Give how far a sequence number lies behind the expected one (negative: it is old).

    >>> distance(3, 0xFFFFFFFF), distance(0xFFFFFFFF, 3)
    (4, -4)
    """
    return (sequence - expected + HALF) % WHOLE - HALF


class Side:
    """Hold one direction: `expected` sequence number, bytes of an unfinished message.

    `follows`: the next bytes are wanted, wherever in a segment they lie.
    """

    __slots__ = ("body", "early", "expected", "follows", "frames", "in_chunks", "mix", "waiting")

    def __init__(self, mix: int) -> None:
        """Begin with no byte seen."""
        self.mix = mix
        self.expected = NOT_YET
        self.waiting = b""
        self.body: Body | None = None
        self.frames: Frames | None = None
        self.early: dict[int, bytes] = {}
        self.follows = self.in_chunks = False

    def skip(self, size: int) -> None:
        """Step over bytes that nobody needs; what follows them is wanted."""
        if size < HALF // 2:
            self.expected = (self.expected + size) % WHOLE
            self.follows = True

    def held_bytes(self) -> int:
        """Give the bytes that this side keeps."""
        kept = len(self.waiting) + (len(self.body) if self.body else 0)
        if self.frames is not None:
            kept += self.frames.held_bytes
        return kept if not self.early else kept + sum(map(len, self.early.values()))

    def forget(self) -> None:
        """Drop what is unfinished."""
        self.waiting, self.early, self.body, self.frames = b"", {}, None, None
        self.follows = self.in_chunks = False


def nearest(told: Side) -> int:
    """Give the sequence number of the early segment that comes first."""
    return min(told.early, key=lambda at: distance(at, told.expected))
