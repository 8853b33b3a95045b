"""Keep the record: append-only topics read from an offset, one interface, several homes.

`MemoryLog` (tests), `SqliteLog` (embedded, many processes) and `KafkaLog` (many machines) pass the
same contract suite (`tests/storage/log_contract.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """What a producer hands over. `key` decides the partition; headers are short text.

    Headers in use: `tenant` (set from the authenticated source), `source` (stable id of the
    origin), `position` (record number of the first record in the value), `format` (parser),
    `name` (file name or listener, for people), `trace_id`.
    """

    key: bytes
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """What a consumer reads: a record at its place. `appended_at_us`: UTC µs."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Mapping[str, str]
    appended_at_us: int


class EventLog(Protocol):
    """Append, read, commit. Every home keeps these promises:

    - `append` returns only when all records are durable; one call's records for one partition get
      offsets in order, consecutive unless another process appends too; offsets are dense; a
      record's partition is a fixed function of (topic, key). A retry after Unavailable may append
      twice: consumers know repeats by headers.
    - `read` gives messages of one partition in offset order from `offset` on (from the first that
      is left, where older ones were trimmed), at most `limit` and about `max_bytes` (always at
      least one if there is one); an empty list means caught up.
    - `commit` keeps a group's next offset to read, for consumers that have no database.
    - A partition has one living owner at most in a group: who joins gets what is free (at once, or
      after some joins), who has too many gives some up at its next `join`. A member not heard of
      for 15 s has left.
    - Several threads and processes may use one log at once. InvalidInput for a record that no home
      takes (value over 16 MiB, key and headers over 64 KiB); Unavailable when the home is down.
    """

    def append(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Make the records durable; give (partition, offset) for each."""

    def read(
        self, topic: str, partition: int, offset: int, limit: int = 1000, max_bytes: int = 8 << 20
    ) -> list[Message]:
        """Give what lies at and after the offset."""

    def end(self, topic: str, partition: int) -> int:
        """Give the offset that the next record will get (0 for a new topic)."""

    def topics(self) -> Mapping[str, int]:
        """Give topic -> number of partitions, for topics that were ever appended to."""

    def partitions(self, topic: str) -> int:
        """Give the number of partitions the topic has or would have."""

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Keep the group's next offset to read."""

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give the group's next offset to read, 0 if it never committed."""

    def join(self, group: str, topic: str, member: str) -> list[int]:
        """Say that the member lives (call every 5 s); give the partitions it owns until the next.

        Whoever could not call for 15 s owns nothing until it has joined again.
        """

    def leave(self, group: str, topic: str, member: str) -> None:
        """Give the member's partitions back to the group."""

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Forget messages before the offset (retention); give how many went."""

    def close(self) -> None:
        """Let go of files and threads; what was appended stays."""
