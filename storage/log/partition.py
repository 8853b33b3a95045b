"""Decide which partition a key goes to and which member of a group owns which partition."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from storage.errors import InvalidInput
from storage.log import Record

MAX_VALUE_BYTES: Final = 16 << 20
MAX_ENVELOPE_BYTES: Final = 64 << 10
LEASE_US: Final = 15_000_000
"""A member not heard of for so long has left the group, µs."""
HEARTBEAT_US: Final = 2_000_000
"""A home may leave a sign of life unwritten that comes sooner after the last one, µs."""

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key: CRC-32, as librdkafka's `consistent` partitioner has it.

    >>> partition_of(b"acme/host-7", 8)
    3
    """
    return zlib.crc32(key) % partitions


def check_topic(topic: str) -> None:
    """Pass, or raise InvalidInput: 1 to 249 of letters, digits, '.', '_' and '-', as in Kafka."""
    if not _TOPIC.fullmatch(topic):
        raise InvalidInput(
            f"topic {topic[:80]!r} is not valid; use 1-249 of letters, digits, '.', '_' and '-'"
        )


def check_records(topic: str, records: Sequence[Record]) -> None:
    """Pass, or raise InvalidInput naming the first record that no home would take."""
    check_topic(topic)
    for place, record in enumerate(records):
        headers = record.headers
        try:
            envelope = len(record.key) + len("".join([*headers, *headers.values()]))
            size = len(memoryview(record.value))
            memoryview(record.key)
        except TypeError as error:
            raise InvalidInput(
                f"record {place} for topic '{topic}': key and value are bytes, headers text"
            ) from error
        if size > MAX_VALUE_BYTES:
            raise InvalidInput(
                f"record {place} for topic '{topic}' has {size} bytes; "
                f"the most is {MAX_VALUE_BYTES}; cut it into several"
            )
        if envelope > MAX_ENVELOPE_BYTES:
            raise InvalidInput(
                f"record {place} for topic '{topic}' has {envelope} bytes of key and headers; "
                f"the most is {MAX_ENVELOPE_BYTES}"
            )


def check_read(offset: int, limit: int, max_bytes: int) -> None:
    """Pass, or raise InvalidInput for a read that can never give anything."""
    if offset < 0 or limit < 1 or max_bytes < 1:
        raise InvalidInput(
            f"read from offset {offset}, limit {limit}, max_bytes {max_bytes}: "
            "an offset is at least 0, the others at least 1"
        )


def share(
    owners: Mapping[int, str], members: Iterable[str], member: str, partitions: int
) -> list[int]:
    """Give the partitions that `member` may own next, taking none from a member that lives.

    `owners`: partition -> owner, of living members only. Quotas differ by one at most; a member
    over its quota gives up its highest, one under it takes the lowest that nobody owns, so that a
    partition never has two owners and after each member has joined again all are shared evenly.

    >>> share({0: "a", 1: "a", 2: "a"}, ["a", "b"], "b", 3), share({2: "b"}, ["a", "b"], "a", 3)
    ([], [0, 1])
    """
    order = sorted(set(members))
    base, extra = divmod(partitions, len(order))
    quota = base + (order.index(member) < extra)
    mine = [p for p in range(partitions) if owners.get(p) == member]
    free = [p for p in range(partitions) if p not in owners]
    return sorted((mine + free)[:quota]) if len(mine) < quota else mine[:quota]
