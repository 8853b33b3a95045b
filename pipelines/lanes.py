"""Work the partitions that are this process's share, each as a flow of its own: a lane.

The share comes from a consumer group of the log, or is given by hand. Whoever takes a lane over
claims it in the ledger, so that what its former owner still has under way is refused: of two
processes that both believe they own a partition, one has no effect. State goes with the lane.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from pipelines.ledger import DatabaseLedger
from pipelines.running import Done, Flow, Work
from storage.errors import InvalidInput, Unavailable
from storage.log import EventLog

log = structlog.get_logger()

GROUP: Final = "group"
"""Word of the setting `share` for a share by consumer group."""
JOIN_S: Final = 2.0
"""Between two signs of life; the log lets go of a member after 15 s."""
WEDGED_S: Final = 120.0
"""A process that neither polled nor committed for so long gives no more signs of life."""
_LEAVE_WAIT_S: Final = 5.0

Lane = tuple[Flow, DatabaseLedger]


def partitions_in(text: str, count: int) -> list[int]:
    """Read a share that is given by hand; InvalidInput if it is none of a topic of `count`.

    >>> partitions_in("0-3,7", 8)
    [0, 1, 2, 3, 7]
    """
    found: set[int] = set()
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InvalidInput(f"partitions {text[:80]!r} are not written like '0-3,7'")
        found |= set(range(int(first), int(last or first) + 1))
    if max(found) >= count:
        raise InvalidInput(f"partitions {text[:80]!r}: the topic has {count}, counted from 0")
    return sorted(found)


class Membership:
    """Say again and again that this process lives; know its share of a topic at any moment."""

    def __init__(self, log: EventLog, flow: str, topic: str, member: str) -> None:
        """Prepare; `start` begins."""
        self._log = log
        self._place = (f"flow.{flow}", topic, member)
        self._owned: frozenset[int] = frozenset()
        self._ended = threading.Event()
        self._alive_s = time.monotonic()
        self._thread = threading.Thread(target=self._keep_on, name=f"share-{flow}", daemon=True)

    def start(self) -> None:
        """Begin to give signs of life."""
        self._thread.start()

    def owned(self) -> frozenset[int]:
        """Give the share; the caller proves by this that it is at work."""
        self._alive_s = time.monotonic()
        return self._owned

    def leave(self) -> None:
        """Give the share back at once."""
        self._ended.set()
        self._thread.join(_LEAVE_WAIT_S)
        try:
            self._log.leave(*self._place)
        except Unavailable as down:
            log.warning("share_not_given_back", reason=str(down))

    def _keep_on(self) -> None:
        while not self._ended.is_set():
            if time.monotonic() - self._alive_s < WEDGED_S:
                try:
                    self._owned = frozenset(self._log.join(*self._place))
                except Unavailable as down:
                    log.warning("share_unknown", reason=str(down))
            self._ended.wait(JOIN_S)


class Lanes:
    """Stand for several flows between `poll`, `process` and `commit`, as one `Flow` does."""

    def __init__(
        self,
        make: Callable[[int], Lane],
        owned: Callable[[], Iterable[int]],
        stop: threading.Event,
        linger_s: float,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with nothing; `make` gives a partition's flow, `owned` the share of the moment."""
        self._make = make
        self._owned = owned
        self._leave = leave
        self.stop = stop
        self.linger_s = linger_s
        self._lanes: dict[int, Lane] = {}
        self._turn = -1

    @property
    def in_flight(self) -> int:
        """Polls given out and not yet committed."""
        return sum(flow.in_flight for flow, _ in self._lanes.values())

    def poll(self) -> Work | None:
        """Give the next work of the next lane that has some."""
        self._take_share()
        lanes = sorted(self._lanes)
        after = [lane for lane in lanes if lane > self._turn]
        for lane in [*after, *(lane for lane in lanes if lane <= self._turn)]:
            flow, ledger = self._lanes[lane]
            work = None if ledger.is_lost else flow.poll()
            if work is not None:
                self._turn = lane
                return work
        return None

    def process(self, work: Work) -> Done:
        """Do the step in memory."""
        return self._lanes[work.lane][0].process(work)

    def commit(self, done: Done) -> None:
        """Write the outcome in one transaction; nothing if the lane is another's now."""
        self._lanes[done.work.lane][0].commit(done)

    def ended(self) -> None:
        """Tell that the run ended in good order, and give the share back."""
        for flow, _ in self._lanes.values():
            flow.ended()
        self._leave()

    def _take_share(self) -> None:
        """Let go of lanes that are lost or another's, begin those that are new."""
        share = set(self._owned())
        for lane, (flow, ledger) in list(self._lanes.items()):
            if (ledger.is_lost or lane not in share) and not flow.in_flight:
                flow.ended()
                del self._lanes[lane]
                log.info("lane_left", lane=lane, lost=ledger.is_lost)
        for lane in sorted(share - self._lanes.keys()):
            self._lanes[lane] = self._make(lane)
            log.info("lane_taken", lane=lane)
