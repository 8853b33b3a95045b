"""Read partitions of Kafka from any offset: one consumer, a buffer for each partition."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from storage.errors import Unavailable
from storage.log.cluster import Cluster

_AT_ONCE: Final = 2000
_BUFFER_BYTES: Final = 16 << 20
"""A partition that holds so much unread is not fetched on until it is read."""
_UNREAD_S: Final = 60.0
"""A partition that nobody reads for so long is let go."""


@dataclass(slots=True, eq=False)
class _Place:
    """Where one partition is read: `offset` is the next to give, `fetched` the next to come."""

    where: TopicPartition
    offset: int
    fetched: int
    read_s: float
    ready: deque[Any] = field(default_factory=deque)
    size_bytes: int = 0
    is_paused: bool = False


class KafkaReader:
    """Give messages by (topic, partition, offset). Threads take turns."""

    def __init__(self, cluster: Cluster) -> None:
        """Make the consumer; nothing is fetched before it is read."""
        self._cluster = cluster
        self._consumer = Consumer(
            {
                **cluster.client,
                "group.id": f"{cluster.prefix}reader",  # required by the client; never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "fetch.message.max.bytes": 4 << 20,
                "queued.max.messages.kbytes": 32 << 10,  # at most so much beyond a full buffer
                "receive.message.max.bytes": 100_000_000,
                "fetch.max.bytes": 52_428_800,
            }
        )
        self._places: dict[tuple[str, int], _Place] = {}
        self._turn = threading.Lock()

    def read(
        self,
        topic: str,
        partition: int,
        offset: int,
        limit: int,
        max_bytes: int,
        first_of: Callable[[], int],
        end_of: Callable[[], int],
    ) -> list[Any]:
        """Give the client's messages at and after the offset; none if `end_of` says it is the end.

        `first_of` gives the first that is left. Unavailable if no broker gives what there is.
        """
        with self._turn, self._cluster.explained(f"topic {topic}"):
            place = self._places.get((topic, partition))
            is_here = place is not None and place.offset == offset
            if is_here and place is not None and not place.ready:
                self._take_in(0)
            if place is None or not is_here or not place.ready:
                end = end_of()
                if offset >= end:
                    return []
                if place is None or not is_here:
                    start = max(offset, first_of())
                    if start >= end:
                        return []
                    place = self._placed(topic, partition, start)
                self._wait_for(place, limit, max_bytes, end)
            return self._given(place, limit, max_bytes)

    def close(self) -> None:
        """Let go of everything."""
        with self._turn:
            self._places.clear()
            self._consumer.close()

    def _placed(self, topic: str, partition: int, offset: int) -> _Place:
        """Begin to fetch from the offset; what was fetched from elsewhere is void."""
        self._let_go()
        where = TopicPartition(topic, partition, offset)
        self._drop((topic, partition))
        self._consumer.incremental_assign([where])
        place = _Place(where, offset, offset, time.monotonic())
        self._places[topic, partition] = place
        return place

    def _let_go(self) -> None:
        limit_s = time.monotonic() - _UNREAD_S
        for key, place in list(self._places.items()):
            if place.read_s < limit_s:
                self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            if place.is_paused:  # the client keeps that for who comes next
                self._consumer.resume([place.where])
            self._consumer.incremental_unassign([place.where])

    def _wait_for(self, place: _Place, limit: int, max_bytes: int, end: int) -> None:
        until_s = time.monotonic() + self._cluster.wait_s
        while len(place.ready) < limit and place.size_bytes < max_bytes and place.fetched < end:
            self._take_in(0.1)
            if time.monotonic() > until_s:
                break
        if not place.ready and place.fetched < end:
            # Perhaps it was trimmed meanwhile: the next read asks anew where it begins.
            self._drop((place.where.topic, place.where.partition))
            raise Unavailable(
                f"event log {self._cluster.servers}: no broker gives topic {place.where.topic}, "
                f"partition {place.where.partition} at {place.offset}; is its leader up?"
            )

    def _take_in(self, wait_s: float) -> None:
        """Put what has come into the buffers; wait for the first message at most so long."""
        messages = self._consumer.consume(1, wait_s) if wait_s else []
        messages += self._consumer.consume(_AT_ONCE, 0)
        for message in messages:
            if message.error() is not None:
                raise self._cluster.unavailable(message.error(), f"topic {message.topic()}")
            place = self._places.get((message.topic(), message.partition()))
            if place is None or message.offset() < place.fetched:
                continue
            place.ready.append(message)
            place.fetched = message.offset() + 1
            place.size_bytes += len(message)
            if place.size_bytes > _BUFFER_BYTES and not place.is_paused:
                self._consumer.pause([place.where])
                place.is_paused = True

    def _given(self, place: _Place, limit: int, max_bytes: int) -> list[Any]:
        found: list[Any] = []
        size = 0
        while place.ready and len(found) < limit:
            weight = len(place.ready[0])
            if found and size + weight > max_bytes:
                break
            size += weight
            found.append(place.ready.popleft())
        place.size_bytes -= size
        if found:
            place.offset = found[-1].offset() + 1
        place.read_s = time.monotonic()
        if place.is_paused and place.size_bytes < _BUFFER_BYTES // 2:
            self._consumer.resume([place.where])
            place.is_paused = False
        return found
