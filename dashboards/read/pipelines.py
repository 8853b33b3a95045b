"""Read how the pipelines are: lag of each flow, dead letters, sources, sizes; of one tenant only.

Windows may not import the log. What they need of it (ends, messages, groups) is asked of the object
that the front door holds, by the few verbs named here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput, Unavailable
from storage.outcome import dead_letter_of
from storage.tenant import Scope

Row = dict[str, Any]
QUERY_MS: Final = "10000"
MOST_SOURCES: Final = 200
MOST_LETTERS: Final = 50
SHOWN_BYTES: Final = 4096
_DEAD_LETTER: Final = "dead-letter"
_LOOKED_AT: Final = 2000
"""Letters of a partition looked through for this tenant's, from the end."""
_CONSUMED: Final = ("findings", "signals")


class Told(Protocol):
    """What is read of a message."""

    @property
    def offset(self) -> int:
        """Give its place."""

    @property
    def value(self) -> bytes:
        """Give its bytes."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Give its headers."""

    @property
    def appended_at_us(self) -> int:
        """Give when it was appended, UTC µs."""


class ReadableLog(Protocol):
    """The verbs of the event log that this page uses: all of them only read."""

    def topics(self) -> Mapping[str, int]:
        """Give topic -> partitions."""

    def partitions(self, topic: str) -> int:
        """Give the number of partitions."""

    def end(self, topic: str, partition: int) -> int:
        """Give the offset of the next record."""

    def read(
        self, topic: str, partition: int, offset: int, limit: int = ..., max_bytes: int = ...
    ) -> Sequence[Told]:
        """Give messages from the offset on."""

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give a group's next offset."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Say how far one reader is in one partition."""

    flow: str
    topic: str
    partition: int
    read: int
    end: int

    @property
    def lag(self) -> int:
        """Give the messages not read yet."""
        return max(0, self.end - self.read)


@dataclass(frozen=True, slots=True)
class Letter:
    """Hold one refused record as text."""

    letter_id: str
    at: datetime
    source: str
    name: str
    log_format: str
    position: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold all that the page shows at one moment; `log_works` False: the log does not answer."""

    partitions: tuple[Partition, ...]
    sources: list[Row]
    totals: Row
    lake: Row
    base: Row
    captures: list[Row]
    topics: Mapping[str, int]
    log_works: bool


def overview(database: Database, log: ReadableLog, scope: Scope) -> Overview:
    """Read everything but the letters, in one transaction and a few questions to the log."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        offsets = select(tx, "pages_flow_offsets")
        sources = select(tx, "pages_sources", limit=MOST_SOURCES)
        totals = select(tx, "pages_source_totals")[0]
        lake = select(tx, "pages_lake_size")[0]
        base = select(tx, "pages_database_size")[0]
        captures = select(tx, "captures_list", limit=MOST_SOURCES)
    try:
        topics = dict(log.topics())
        partitions = [*_of_flows(log, offsets), *_of_modules(log, topics)]
    except Unavailable:
        return Overview((), sources, totals, lake, base, captures, {}, False)
    return Overview(
        tuple(partitions), sources, totals, lake, base, captures, _ends(log, topics), True
    )


def _of_flows(log: ReadableLog, offsets: list[Row]) -> list[Partition]:
    return [
        Partition(
            str(r["flow"]),
            str(r["topic"]),
            int(r["partition"]),
            int(r["next_offset"]),
            log.end(str(r["topic"]), int(r["partition"])),
        )
        for r in offsets
    ]


def _of_modules(log: ReadableLog, topics: Mapping[str, int]) -> list[Partition]:
    """Give the business modules that read findings: their offsets are kept by the log."""
    found = []
    for module in ("incidents", "erp"):
        group, topic = f"business.{module}", _CONSUMED[0]
        for partition in range(topics.get(topic, 0)):
            read = log.committed(group, topic, partition)
            if read:
                found.append(Partition(group, topic, partition, read, log.end(topic, partition)))
    return found


def _ends(log: ReadableLog, topics: Mapping[str, int]) -> dict[str, int]:
    return {topic: sum(log.end(topic, p) for p in range(count)) for topic, count in topics.items()}


def letters(log: ReadableLog, scope: Scope, most: int = MOST_LETTERS) -> list[Letter]:
    """Give this tenant's newest refused records, the newest first; each once."""
    scope.require("ops:read")
    found: dict[str, Letter] = {}
    for partition in range(log.topics().get(_DEAD_LETTER, 0)):
        end = log.end(_DEAD_LETTER, partition)
        first = max(0, end - _LOOKED_AT)
        while first < end:
            messages = log.read(_DEAD_LETTER, partition, first)
            if not messages:
                break
            first = messages[-1].offset + 1
            for message in messages:
                letter = _letter(message, scope.tenant_id)
                if letter is not None:
                    found[letter.letter_id] = letter
    return sorted(found.values(), key=lambda one: one.at, reverse=True)[:most]


def _letter(message: Told, tenant_id: str) -> Letter | None:
    at = datetime.fromtimestamp(message.appended_at_us / 1_000_000, UTC)
    try:
        told = dead_letter_of(message.value)
    except InvalidInput:
        return _of_consumer(message, tenant_id, at)
    if told.tenant_id != tenant_id:
        return None
    return Letter(
        letter_id=told.letter_id,
        at=at,
        source=told.source,
        name=told.name,
        log_format=told.log_format,
        position=told.position,
        reason=told.reason,
        raw=_text(told.raw),
    )


def _of_consumer(message: Told, tenant_id: str, at: datetime) -> Letter | None:
    headers = message.headers
    if headers.get("tenant") != tenant_id:
        return None
    place = f"{headers.get('topic', '')}/{headers.get('partition', '')}"
    offset = headers.get("offset", "0")
    return Letter(
        letter_id=f"{headers.get('consumer', '')}:{place}/{offset}",
        at=at,
        source=place,
        name=headers.get("consumer", ""),
        log_format="",
        position=int(offset) if offset.isdecimal() else 0,
        reason=headers.get("reason", ""),
        raw=_text(message.value),
    )


def _text(raw: bytes) -> str:
    return raw[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
