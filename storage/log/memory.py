"""Keep a log in this process's memory: the same promises, for tests and offline runs."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from storage.errors import Unavailable
from storage.log import Message, Record
from storage.log.partition import LEASE_US, check_read, check_records, partition_of, share


@dataclass(slots=True)
class _Partition:
    first: int = 0
    messages: list[Message] = field(default_factory=list)

    def end(self) -> int:
        return self.first + len(self.messages)


class MemoryLog:
    """Keep every topic in lists; many threads may use it, other processes cannot see it."""

    def __init__(
        self, partitions: int = 8, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        """Begin empty. `partitions`: of each topic; `now_us`: the clock, UTC µs."""
        self._partitions = partitions
        self._now_us = now_us
        self._lock = threading.Lock()
        self._topics: dict[str, list[_Partition]] = {}
        self._offsets: dict[tuple[str, str, int], int] = {}
        self._members: dict[tuple[str, str], dict[str, int]] = {}
        self._owners: dict[tuple[str, str], dict[int, str]] = {}
        self._is_closed = False

    def append(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Keep the records; give (partition, offset) for each. InvalidInput if one is too large."""
        check_records(topic, records)
        with self._lock:
            self._check_open()
            now_us = self._now_us()
            places = []
            for r in records:
                homes = self._topics.setdefault(
                    topic, [_Partition() for _ in range(self._partitions)]
                )
                p = partition_of(r.key, len(homes))
                offset = homes[p].end()
                homes[p].messages.append(
                    Message(topic, p, offset, r.key, r.value, dict(r.headers), now_us)
                )
                places.append((p, offset))
            return places

    def read(
        self, topic: str, partition: int, offset: int, limit: int = 1000, max_bytes: int = 8 << 20
    ) -> list[Message]:
        """Give what lies at and after the offset, or after what was trimmed."""
        check_read(offset, limit, max_bytes)
        with self._lock:
            self._check_open()
            home = self._home(topic, partition)
            begin = max(offset - home.first, 0)
            found: list[Message] = []
            size = 0
            for message in home.messages[begin : begin + limit]:
                size += len(message.key) + len(message.value)
                if found and size > max_bytes:
                    break
                found.append(message)
            return found

    def end(self, topic: str, partition: int) -> int:
        """Give the offset that the next record will get."""
        with self._lock:
            self._check_open()
            return self._home(topic, partition).end()

    def topics(self) -> Mapping[str, int]:
        """Give topic -> number of partitions, for topics that were ever appended to."""
        with self._lock:
            self._check_open()
            return {topic: len(self._topics[topic]) for topic in sorted(self._topics)}

    def partitions(self, topic: str) -> int:
        """Give the number of partitions the topic has or would have."""
        with self._lock:
            self._check_open()
            return len(self._topics.get(topic, ())) or self._partitions

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Keep the group's next offset to read."""
        with self._lock:
            self._check_open()
            self._offsets[group, topic, partition] = offset

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give the group's next offset to read, 0 if it never committed."""
        with self._lock:
            self._check_open()
            return self._offsets.get((group, topic, partition), 0)

    def join(self, group: str, topic: str, member: str) -> list[int]:
        """Say that the member lives; give the partitions it owns now."""
        count = self.partitions(topic)
        with self._lock:
            self._check_open()
            now_us = self._now_us()
            members = self._members.setdefault((group, topic), {})
            members[member] = now_us
            for gone in [m for m, seen_us in members.items() if abs(now_us - seen_us) > LEASE_US]:
                del members[gone]
            owners = self._owners.get((group, topic), {})
            living = {p: m for p, m in owners.items() if m in members}
            mine = share(living, members, member, count)
            others = {p: m for p, m in living.items() if m != member}
            self._owners[group, topic] = others | dict.fromkeys(mine, member)
            return mine

    def leave(self, group: str, topic: str, member: str) -> None:
        """Give the member's partitions back to the group."""
        with self._lock:
            self._check_open()
            self._members.get((group, topic), {}).pop(member, None)
            owners = self._owners.get((group, topic), {})
            self._owners[group, topic] = {p: m for p, m in owners.items() if m != member}

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Forget messages before the offset; give how many went."""
        with self._lock:
            self._check_open()
            home = self._home(topic, partition)
            gone = min(max(before - home.first, 0), len(home.messages))
            del home.messages[:gone]
            home.first += gone
            return gone

    def close(self) -> None:
        """Forget everything; later calls are Unavailable."""
        with self._lock:
            self._is_closed = True
            self._topics.clear()

    def _home(self, topic: str, partition: int) -> _Partition:
        homes = self._topics.get(topic, ())
        return homes[partition] if 0 <= partition < len(homes) else _Partition()

    def _check_open(self) -> None:
        if self._is_closed:
            raise Unavailable("the event log is closed; open it anew")
