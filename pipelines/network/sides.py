"""Hold what is unfinished of one direction of a connection, and where its next byte stands."""

from typing import Final

from pipelines.network.protocols.bodies import Body
from pipelines.network.protocols.http import may_end
from pipelines.network.protocols.http2 import Frames

NOT_YET: Final = -1
"""Instead of a sequence number, before a side has sent."""
Key = tuple[int, ...]
"""One direction's IP version, addresses and ports, as numbers."""
MAX_WAITING: Final = 16_384 + 2_048
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

    `follows`: the next bytes are wanted, wherever in a segment they lie. `least`: with fewer bytes
    the unfinished message cannot be whole; `searched`: so far a head's end was looked for. Both
    spare a sender of tiny pieces from being read anew with each. `began`: the first byte's sequence
    number, if the SYN told it, until a message was read there. `answers`: its last HTTP head was
    an answer; `muted`: nothing it sends is read until the other side asks again. `counted`: what
    the watcher knows that it holds.
    """

    __slots__ = (
        "answers", "began", "body", "counted", "early", "expected", "follows", "frames",
        "in_chunks", "least", "mix", "muted", "searched", "waiting",
    )  # fmt: skip

    def __init__(self, mix: int, began: int = NOT_YET) -> None:
        """Begin with no byte seen."""
        self.mix, self.counted = mix, 0
        self.expected = self.began = began
        self.waiting = b""
        self.least = self.searched = 0
        self.body: Body | None = None
        self.frames: Frames | None = None
        self.early: dict[int, bytes] = {}
        self.follows = self.in_chunks = self.answers = self.muted = False

    @property
    def knows_past(self) -> bool:
        """Tell whether what lies before the expected byte is surely old, however far off."""
        return self.follows or self.expected == self.began

    def skip(self, size: int) -> bool:
        """Step over bytes that nobody needs; what follows is wanted. False: too many."""
        if size >= HALF // 2:
            return False
        self.expected = (self.expected + size) % WHOLE
        self.follows = True
        return True

    def keep(self, rest: bytes, least: int = 0, most: int = MAX_WAITING) -> int:
        """Keep the bytes of an unfinished message; 1 where they are too many, and are let go."""
        if rest and len(rest) <= most:
            self.waiting, self.follows, self.least = rest, True, min(least, MAX_WAITING + 1)
            return 0
        return int(bool(rest))

    def hold(self, sequence: int, payload: bytes) -> None:
        """Keep a segment that came early; of two that begin alike the longer one."""
        known = self.early.get(sequence, b"")
        if len(payload) > len(known):
            self.early[sequence] = payload

    def puts_off(self, data: bytes) -> bool:
        """Keep an unfinished message's bytes unread if they cannot have made it whole."""
        if not (self.least or self.searched):
            return False
        at, self.searched = self.searched, 0
        if not (len(data) < self.least or (at and not may_end(data, at))):
            self.least = 0
            return False
        self.searched = len(data) if at else 0
        self.waiting, self.follows = data, True
        return True

    def drop(self) -> None:
        """Drop an unfinished message."""
        self.waiting, self.least, self.searched = b"", 0, 0

    def held_bytes(self) -> int:
        """Give the bytes that this side keeps."""
        kept = len(self.waiting) + (self.body.held_bytes if self.body is not None else 0)
        if self.frames is not None:
            kept += self.frames.held_bytes
        return kept if not self.early else kept + sum(map(len, self.early.values()))

    def forget(self) -> None:
        """Drop what is unfinished."""
        self.drop()
        self.early, self.body, self.frames = {}, None, None
        self.follows = self.in_chunks = False


def nearest(told: Side) -> int:
    """Give the sequence number of the early segment that comes first."""
    return min(told.early, key=lambda at: distance(at, told.expected))
