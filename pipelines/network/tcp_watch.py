"""Pick out of a block the few TCP segments whose protocol is read, and follow their connections.

One pass over columns finds the segments that begin like a message (by their first eight bytes, or
by an industrial port). Only these, and the segments that an unfinished message still needs, reach
Python: the body of a download never does.
"""

import heapq
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np

from pipelines.network.conversations import (
    MAX_CONVERSATIONS,
    MAX_HELD,
    TLS_RECORDS,
    Conversation,
)
from pipelines.network.headers import LATER_FRAGMENT, Headers, read_uint64
from pipelines.network.internet import TCP
from pipelines.network.openings import Opening, Openings
from pipelines.network.packets import Bools, Int64s, PacketBlock, UInt64s
from pipelines.network.protocols.http import METHODS
from pipelines.network.protocols.industrial import CUTTERS
from pipelines.network.sides import MAX_WAITING, WHOLE, Key, Side
from pipelines.network.sightings import (
    FILES,
    HTTP,
    HTTP2,
    KINDS,
    OT,
    SSH,
    TLS,
    Sighting,
    ends_between,
)

WINDOW: Final = 2 * MAX_WAITING
"""How far ahead of an unfinished message segments are looked at."""

SILENT_S: Final = 60

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_WORDS: Final = (*((method + " ").encode() for method in METHODS), b"HTTP", b"SSH-", b"PRI ")
_STARTS: Final = np.array(sorted({int.from_bytes(w[:4], "big") for w in _WORDS}), np.uint64)
_LINE_END: Final = 0x0D0A
"""Old clients send one too many behind a body: it then stands before the next request."""
_IS_FIRST: Final = np.isin(np.arange(256), [*TLS_RECORDS, 0, 0x0D, *(word[0] for word in _WORDS)])
_MIX: Final = tuple(np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
_FEW: Final = 4
"""Segments up to which it is quicker to turn them into Python's values one by one."""
_LEAST_STEP: Final = 1_024
_TEXTS: Final = frozenset((TLS, HTTP, HTTP2, SSH, FILES))
_PORTS: Final = tuple(CUTTERS)


def begins_like_a_message(first: UInt64s, size: Int64s) -> Bools:
    """Tell by the first eight bytes which payloads may begin a hello, head, frames or a banner."""
    chosen: Bools = _IS_FIRST[(first >> np.uint64(56)).astype(np.int64)]
    places = np.flatnonzero(chosen)
    first, size = first[places], size[places]
    # Record type, major version; then hello's type and that its length has three bytes. Records
    # of under four bytes cut the hello's own head.
    record = (first >> np.uint64(48)) == 0x1603
    short = ((first >> np.uint64(24)) & np.uint64(0xFFFF)) < 4
    hello = np.isin((first >> np.uint64(16)) & np.uint64(0xFF), (1, 2))
    tls = record & hello & (short | (((first >> np.uint64(8)) & np.uint64(0xFF)) == 0))
    after_change = (first & np.uint64(0xFFFF00FFFFFFFF00)) == 0x1403000001011600
    warned = (first & np.uint64(0xFFFF00FFFFFF00FF)) == 0x1503000002010016
    behind_end = ((first << np.uint64(16)) >> np.uint64(32)) * (
        (first >> np.uint64(48)) == _LINE_END
    )
    text = np.isin(first >> np.uint64(32), _STARTS) & (size >= 4)
    text |= np.isin(behind_end, _STARTS)
    settings = (first & 0xFFFF00FFFFFFFFFF) == 0x0000000400000000  # an HTTP/2 server's first frame
    settings &= size >= 9
    chosen[places] = settings | tls | after_change | warned | text | (size < 8)
    return chosen


class TcpWatch:
    """Find sightings block by block in bounded memory; `evicted` counts what was let go."""

    def __init__(self, kinds: Collection[str] = KINDS) -> None:
        """Begin with no connection known; `kinds` of rows are to be found, no others."""
        self._has_ports, self._files, self._http2 = OT in kinds, FILES in kinds, HTTP2 in kinds
        self._has_text = not _TEXTS.isdisjoint(kinds)
        self._known: dict[int, Conversation] = {}
        self._following: dict[int, Side] = {}
        self._openings = Openings()
        self._held = 0
        self._evicted = 0

    @property
    def evicted(self) -> int:
        """Give how many connections and unfinished messages were let go for want of room."""
        return self._evicted + sum(c.evicted for c in self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    @property
    def held_bytes(self) -> int:
        """Give the bytes of unfinished messages, requests without an answer, tables of fields."""
        return self._held

    def find(self, block: PacketBlock, headers: Headers) -> Iterator[Sighting]:
        """Give what this block's segments complete, in the order of the capture."""
        if not (self._has_ports or self._has_text):
            return
        segments = _Segments.of(block, headers, has_ports=self._has_ports)
        if segments is None:
            return
        queue = segments.candidates(self._known, self._following, self._openings)
        queued = np.zeros(len(segments), np.bool_)
        queued[queue] = True
        segments.load(queue)
        found: list[Sighting] = []
        more: list[int] = []
        for place in queue.tolist():
            while more and more[0] < place:
                self._take(segments, heapq.heappop(more), more, queued, found)
            self._take(segments, place, more, queued, found)
            if len(self._known) > MAX_CONVERSATIONS or self._held > MAX_HELD:
                self._make_room(found)
        while more:
            self._take(segments, heapq.heappop(more), more, queued, found)
        self._make_room(found)
        yield from found

    def let_silent_go(self, now_ns: int) -> Iterator[Sighting]:
        """Give what connections of a live capture left unanswered that are silent for SILENT_S."""
        found: list[Sighting] = []
        since_ns = now_ns - SILENT_S * 1_000_000_000
        # The longest untouched stand first; one that still speaks ends the look.
        while self._known and next(iter(self._known.values())).last_ns < since_ns:
            self._let_go(next(iter(self._known)), found)
        yield from found

    def close(self) -> Iterator[Sighting]:
        """Give what is unanswered at the capture's end."""
        found: list[Sighting] = []
        for conversation in self._known.values():
            conversation.close(found)
        self._evicted = self.evicted
        self._known, self._following, self._held = {}, {}, 0
        yield from found

    def _take(
        self,
        segments: "_Segments",
        at: int,
        more: list[int],
        queued: Bools,
        found: list[Sighting],
    ) -> None:
        """Give one segment to its connection, and look for the segments that it then needs."""
        one = segments.at(at)
        side_key, begins, both = one.key, one.begins, one.mix ^ one.back
        known = self._known.get(both)
        payload = segments.octets[one.start : one.end]
        if known is not None and (
            (one.is_syn and not known.is_again(one.sequence, payload))
            or (begins and side_key not in known.keys)
        ):
            # A new connection between these ends, or another one with a forged mix.
            self._let_go(both, found)
            self._openings.doubt(one.mix, one.back)
            known = None
        if begins:
            if known is None:
                opening = self._openings.take(one.back, one.mix, at)
                known = segments.conversation(one, opening, files=self._files, calls=self._http2)
                known.syn = (one.sequence, hash(payload)) if one.is_syn else None
            self._known.pop(both, None)  # the latest touched stands last
            self._known[both] = known
        if known is None or side_key not in known.keys:
            return
        side = 1 if known.keys[1] == side_key else 0
        told = known.sides[side]
        followed, expected = told.follows, told.expected
        known.last_ns = one.time_ns
        known.add(one.time_ns, side, one.sequence, payload, found, begins=begins)
        here, all_here = told.held_bytes(), known.held_bytes
        self._held += here - told.counted + all_here - known.counted
        told.counted, known.counted = here, all_here
        if told.follows:
            self._following[told.mix] = told
            if not followed or segments.is_beyond(told, expected):
                for place in segments.needed(told, queued):
                    heapq.heappush(more, place)
        elif followed:
            self._following.pop(told.mix, None)

    def _let_go(self, key: int, found: list[Sighting]) -> None:
        gone = self._known.pop(key)
        self._held -= gone.counted
        for told in gone.sides:
            self._held -= told.counted
            self._following.pop(told.mix, None)
        self._evicted += gone.evicted
        gone.close(found)

    def _make_room(self, found: list[Sighting]) -> None:
        while self._known and (len(self._known) > MAX_CONVERSATIONS or self._held > MAX_HELD):
            self._evicted += 1
            self._let_go(next(iter(self._known)), found)


class _Segments:
    """Hold the block's TCP segments with payload, and its SYNs, as columns."""

    def __init__(
        self, block: PacketBlock, headers: Headers, rows: Int64s, *, has_ports: bool
    ) -> None:
        self.rows, self.octets = rows, block.octets
        self._loaded: dict[int, _Segment] = {}
        self._looked: dict[int, int] = {}
        self.time_ns = block.time_ns[rows]
        self.start, self.end = headers.payload[rows], headers.payload_end[rows]
        self.size = self.end - self.start
        # So far a side moves on before a segment may stand there that the last look left out.
        self._step = max(WINDOW - int(self.size.max()), _LEAST_STEP)
        flags = headers.tcp_flags[rows]
        self.opens: Bools = (flags & _SYN) != 0
        self.is_syn: Bools = self.opens & ((flags & _ACK) == 0)
        # A SYN takes a sequence number: what it carries begins behind it.
        self.sequence: Int64s = (headers.sequence[rows] + self.opens) & 0xFFFFFFFF
        src_port, dst_port = headers.src_port[rows], headers.dst_port[rows]
        first = read_uint64(block.octets, self.start)
        shift = np.clip(8 - self.size, 0, 7).astype(np.uint64) * np.uint64(8)
        first = first >> shift << shift
        self.begins: Bools = begins_like_a_message(first, self.size)
        for port in _PORTS if has_ports else ():
            self.begins |= (src_port == port) | (dst_port == port)
        # What ends where it begins is refused by every host, with its data.
        self.begins &= ~self.opens | ((self.size > 0) & ((flags & (_FIN | _RST)) == 0))
        src = _mixed(headers.src_high[rows], headers.src_low[rows], src_port)
        dst = _mixed(headers.dst_high[rows], headers.dst_low[rows], dst_port)
        # Two mixes whose XOR is the same for both directions.
        self.mix: UInt64s = src * np.uint64(3) ^ dst
        self.back: UInt64s = dst * np.uint64(3) ^ src
        h = headers
        self._keys = (
            h.version, h.src_high, h.src_low, h.src_port, h.dst_high, h.dst_low, h.dst_port,
        )  # fmt: skip
        self._columns = (
            self.mix, self.back, self.time_ns, self.start, self.end, self.sequence, self.begins,
            self.is_syn,
        )  # fmt: skip
        self._order: Int64s | None = None
        self._sorted: UInt64s = self.mix

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, block: PacketBlock, headers: Headers, *, has_ports: bool) -> "_Segments | None":
        has_payload = headers.payload_end > headers.payload
        opens = (headers.tcp_flags & _SYN) != 0
        chosen = (headers.protocol == TCP) & (has_payload | opens) & (headers.payload > 0)
        rows = np.flatnonzero(chosen & (headers.fragment != LATER_FRAGMENT))
        return cls(block, headers, rows, has_ports=has_ports) if len(rows) else None

    def candidates(
        self, known: dict[int, Conversation], following: dict[int, Side], openings: Openings
    ) -> Int64s:
        """Give the places of the segments to be read first, ascending; note who opens."""
        chosen = self.begins.copy()
        opens = np.flatnonzero(self.opens)
        keys = self.mix ^ self.back
        fresh = set(keys[self.begins].tolist()) if len(opens) else ()
        are_fresh = np.array([k in fresh for k in keys[opens].tolist()], np.bool_)
        openings.note(self.mix, self.sequence, self.is_syn, opens, are_fresh)
        are_known = [k in known for k in keys[opens].tolist()]
        chosen[opens] |= self.is_syn[opens] & (are_fresh | np.array(are_known, np.bool_))
        for told in following.values() if len(following) < 8 else ():
            chosen[self._wanted(np.flatnonzero(self.mix == np.uint64(told.mix)), told)] = True
        if len(following) >= 8:
            order = np.argsort(np.fromiter(following, np.uint64, len(following)))
            sides = list(following.values())
            mixes = np.fromiter(following, np.uint64, len(following))[order]
            expected = np.array([sides[i].expected for i in order.tolist()], np.int64)
            place = np.minimum(np.searchsorted(mixes, self.mix), len(mixes) - 1)
            ahead = (self.sequence + self.size - expected[place]) & 0xFFFFFFFF
            chosen |= (mixes[place] == self.mix) & (ahead > 0) & (ahead <= WINDOW)
        return np.flatnonzero(chosen)

    def is_beyond(self, told: Side, expected: int) -> bool:
        """Tell whether a side, which expected that, has moved out of what was looked through.

        To look anew at each step would cost a sender of tiny pieces nothing, and us the square.
        """
        looked = self._looked.setdefault(told.mix, expected)
        return told.expected != expected and (told.expected - looked) % WHOLE > self._step

    def needed(self, told: Side, queued: Bools) -> list[int]:
        """Give the places of the segments of one side that are wanted now, and mark them."""
        self._looked[told.mix] = told.expected
        if self._order is None:
            self._order = np.argsort(self.mix, kind="stable")
            self._sorted = self.mix[self._order]
        mix = np.uint64(told.mix)
        low, high = self._sorted.searchsorted(mix), self._sorted.searchsorted(mix, "right")
        places = self._wanted(self._order[low:high], told)
        places = places[~queued[places]]
        queued[places] = True
        if len(places) > _FEW:
            self.load(places)
        found: list[int] = places.tolist()
        return found

    def _wanted(self, places: Int64s, told: Side) -> Int64s:
        ahead = (self.sequence[places] + self.size[places] - (told.expected)) & 0xFFFFFFFF
        return places[(ahead > 0) & (ahead <= WINDOW)]

    def load(self, places: Int64s) -> None:
        """Turn the columns of these segments into Python values, all at once."""
        rows = self.rows[places]
        columns = [column[rows].tolist() for column in self._keys]
        rest = [column[places].tolist() for column in self._columns]
        keys = zip(*columns, strict=True)
        segments = map(_Segment._make, zip(keys, *rest, strict=True))
        self._loaded.update(zip(places.tolist(), segments, strict=True))

    def at(self, place: int) -> "_Segment":
        """Give one segment."""
        if place in self._loaded:
            return self._loaded.pop(place)
        row = self.rows.item(place)
        key = tuple([column.item(row) for column in self._keys])
        return _Segment._make([key, *(column.item(place) for column in self._columns)])

    def conversation(
        self, one: "_Segment", opening: Opening, *, files: bool, calls: bool
    ) -> Conversation:
        """Begin the conversation of a segment, which is sent by its side 1."""
        version, src_high, src_low, src_port, dst_high, dst_low, dst_port = one.key
        turned = version, dst_high, dst_low, dst_port, src_high, src_low, src_port
        return Conversation(
            ends_between(TCP, *one.key),
            (turned, one.key),
            (one.back, one.mix),
            opening,
            files=files,
            calls=calls,
        )


class _Segment(NamedTuple):
    key: Key
    mix: int
    back: int
    time_ns: int
    start: int
    end: int
    sequence: int
    begins: bool
    is_syn: bool


def _mixed(high: UInt64s, low: UInt64s, port: Int64s) -> UInt64s:
    mixed = (high * _MIX[1] + low) * _MIX[0] + port.astype(np.uint64)
    mixed ^= mixed >> np.uint64(29)
    return mixed * _MIX[1]
