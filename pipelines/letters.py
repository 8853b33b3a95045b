"""List what was refused and why, count it, and put it back where it came from, once.

The dead letter holds two kinds: letters of the flows, a refused record each, and what a consumer
refused, as it was, with headers that say who refused it, where it lay and why.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pipelines.dead_letter import KEPT, RAW_TOPIC, RETRY_SOURCE, TOPIC, letter_id
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput
from storage.log import EventLog, Message, Record
from storage.outbox import tell
from storage.outcome import DeadLetter, dead_letter_of
from storage.tenant import Scope, system_scope
from storage.wire import HEADER, RAW, check_schema

_PLACE: Final = ("consumer", "reason", "topic", "partition", "offset")
"""Headers that a consumer adds to what it refused."""
_OUTBOX: Final = "outbox"
_SHOWN: Final = 4096
_AT_ONCE: Final = 200
_NUMBER: Final = re.compile(r"\d+")
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused record or message. `topic`, `partition`, `offset`: where it lay ('', -1: not told).

    `consumer`: who refused it, '' for a flow; `raw`: its bytes; `again`: what is to be put back on
    `topic`, None where `hindrance` says why not; `at_us`: when it was refused, UTC µs.
    """

    letter_id: str
    tenant_id: str
    topic: str
    partition: int
    offset: int
    consumer: str
    source: str
    name: str
    log_format: str
    position: int
    reason: str
    raw: bytes
    at_us: int
    again: Record | None
    hindrance: str

    @property
    def place(self) -> str:
        """Give where it lay, for people."""
        return f"{self.topic}/{self.partition}@{self.offset}" if self.topic else ""


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry did: how many were put back, and how many were not, by why not."""

    put_back: int = 0
    left: Mapping[str, int] = field(default_factory=dict)


def letters(
    log: EventLog, tenant: str | None = None, newest: int | None = None
) -> Iterator[Letter]:
    """Give what was refused, oldest first a partition, each once; of one tenant or of all.

    `newest`: begin near the end, so that about so many of each partition are given.
    """
    for partition in range(log.partitions(TOPIC)):
        end = log.end(TOPIC, partition)
        if newest is None:
            yield from _between(log, partition, 0, end, tenant)
        else:
            yield from _newest(log, partition, end, tenant, newest)


def rows_of(
    database: Database, log: EventLog, tenant: str | None = None, limit: int = 50
) -> list[Row]:
    """List the newest refused records, oldest of them first.

    Each: tenant, place (topic/partition@offset), consumer, source, name, format, position, reason,
    letter_id, at_us, is_retried, hindrance (why it cannot be put back) and `raw`, 4 KiB as text.
    """
    found = sorted(letters(log, tenant, limit), key=lambda one: one.at_us)[-limit:]
    retried = _retried(database, found)
    return [_row(one, one.letter_id in retried) for one in found]


def counts_of(log: EventLog, tenant: str | None = None) -> list[Row]:
    """Count what was refused by tenant, consumer and reason (numbers in it as #), most first."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for one in letters(log, tenant):
        reason = _NUMBER.sub("#", one.reason)[:160]
        counted[one.tenant_id, one.consumer, reason] += 1
    return [
        {"tenant": tenant_id, "consumer": consumer, "reason": reason, "count": count}
        for (tenant_id, consumer, reason), count in counted.most_common()
    ]


def retry(
    database: Database,
    log: EventLog,
    by: str,
    tenant: str | None = None,
    reason: str = "",
    only: frozenset[str] = frozenset(),
) -> Retried:
    """Put refused records back on the topic they came from, each once and audited.

    `by`: who asks, for the audit trail; `reason`: text that the reason must hold; `only`: letter
    ids. The records go to the outbox in the transaction that marks them. One that is refused again
    makes a new letter, which can be put back in its turn.
    """
    known = set(database.tenants())
    waiting: dict[str, list[Letter]] = {}
    left: Counter[str] = Counter()
    put_back = 0
    for one in letters(log, tenant):
        if reason not in one.reason or (only and one.letter_id not in only):
            continue
        why = one.hindrance or ("" if one.tenant_id in known else "its tenant is not known")
        if why:
            left[why] += 1
            continue
        mine = waiting.setdefault(one.tenant_id, [])
        mine.append(one)
        if len(mine) >= _AT_ONCE:
            put_back += _put_back(database, by, waiting.pop(one.tenant_id), left)
    put_back += sum(_put_back(database, by, mine, left) for mine in waiting.values())
    return Retried(put_back, dict(left))


def _put_back(database: Database, by: str, mine: Sequence[Letter], left: Counter[str]) -> int:
    scope: Scope = system_scope(mine[0].tenant_id, by)
    done: list[str] = []
    with database.app(scope) as tx:
        for one in mine:
            assert one.again is not None  # noqa: S101  who has a hindrance is not among them
            if not execute(tx, "letter_retried", letter_id=one.letter_id, actor=by):
                left["it was put back before"] += 1
                continue
            tell(tx, one.topic, one.again)
            done.append(one.letter_id)
        if done:
            detail = {"letters": len(done), "ids": done[:50]}
            write_audit(tx, scope, "dead_letter.retry", done[0], detail=detail)
    return len(done)


def _retried(database: Database, given: Sequence[Letter]) -> set[str]:
    found: set[str] = set()
    known = set(database.tenants())
    for tenant in {one.tenant_id for one in given} & known:
        ids = [one.letter_id for one in given if one.tenant_id == tenant]
        with database.app(system_scope(tenant, "dead-letter")) as tx:
            found |= {str(row["letter_id"]) for row in select(tx, "letters_retried", ids=ids)}
    return found


def _between(
    log: EventLog, partition: int, first: int, end: int, tenant: str | None
) -> Iterator[Letter]:
    seen: set[str] = set()
    while first < end:
        messages = log.read(TOPIC, partition, first)
        for message in messages:
            one = _read(message)
            if one.letter_id not in seen and tenant in (None, one.tenant_id):
                seen.add(one.letter_id)
                yield one
        first = messages[-1].offset + 1 if messages else end


def _newest(
    log: EventLog, partition: int, end: int, tenant: str | None, limit: int
) -> list[Letter]:
    first, found, span = end, list[Letter](), limit
    while first > 0 and len(found) < limit:
        span *= 4
        first = max(0, end - span)
        found = list(_between(log, partition, first, end, tenant))
    return list(islice(found, max(0, len(found) - limit), None))


def _read(message: Message) -> Letter:
    if "consumer" in message.headers:
        return _of_consumer(message)
    try:
        check_schema(message.headers, "dead-letter")
        return _of_flow(message, dead_letter_of(message.value))
    except InvalidInput as error:
        return _made(message, reason=str(error), hindrance="it is no letter that can be read here")


def _of_consumer(message: Message) -> Letter:
    told = message.headers
    place = told.get("partition", ""), told.get("offset", "")
    partition, offset = (int(n) if n.isdecimal() else -1 for n in place)
    topic, consumer = told.get("topic", ""), told["consumer"]
    why = "" if topic and told.get("tenant") else "it does not say where it came from"
    if consumer == _OUTBOX:
        why = "the log refuses it"
    # The old `id` would make it a repeat of what lies on the topic already.
    headers = {k: v for k, v in told.items() if k not in (*_PLACE, "id")}
    return _made(
        message,
        topic=topic,
        partition=partition,
        offset=offset,
        consumer=consumer,
        reason=told.get("reason", ""),
        hindrance=why,
        again=None if why else Record(message.key, message.value, headers),
    )


def _of_flow(message: Message, letter: DeadLetter) -> Letter:
    why = _why_not(letter)
    return Letter(
        letter_id=letter.letter_id,
        tenant_id=letter.tenant_id,
        topic=letter.topic or RAW_TOPIC,
        partition=letter.partition,
        offset=letter.offset,
        consumer="",
        source=letter.source,
        name=letter.name,
        log_format=letter.log_format,
        position=letter.position,
        reason=letter.reason,
        raw=letter.raw,
        at_us=message.appended_at_us,
        again=None if why else _again(letter),
        hindrance=why,
    )


def _why_not(letter: DeadLetter) -> str:
    if letter.reason.startswith(KEPT):
        return "its event is kept"
    if letter.is_cut:
        return "its bytes were cut"
    if not letter.tenant_id or not letter.raw:
        return "it has no readable record"
    is_raw = letter.topic in ("", RAW_TOPIC)
    return "" if letter.log_format or not is_raw else "nobody knows its format"


def _again(letter: DeadLetter) -> Record:
    """Make a raw record a source of its own: a second one is recognised as a repeat.

    What lay on another topic goes back as it was: its own id tells a repeat.
    """
    traced = {"trace_id": letter.trace_id} if letter.trace_id else {}
    if letter.topic not in ("", RAW_TOPIC):
        schema = {HEADER: letter.schema} if letter.schema else {}
        return Record(letter.tenant_id.encode(), letter.raw, {**schema, **traced})
    source = f"{RETRY_SOURCE}{letter.letter_id}"
    headers = {
        "source": source,
        "position": "0",
        "format": letter.log_format,
        "name": letter.name,
        HEADER: letter.schema or RAW,
        **traced,
    }
    return Record(f"{letter.tenant_id}/{source}".encode(), letter.raw, headers)


def _made(
    message: Message,
    *,
    topic: str = "",
    partition: int = -1,
    offset: int = -1,
    consumer: str = "",
    reason: str = "",
    hindrance: str = "",
    again: Record | None = None,
) -> Letter:
    tenant = message.headers.get("tenant", "")
    where = f"{consumer}:{topic}/{partition}" if topic else f"{message.topic}/{message.partition}"
    return Letter(
        letter_id=letter_id(tenant, where, offset if topic else message.offset),
        tenant_id=tenant,
        topic=topic,
        partition=partition,
        offset=offset,
        consumer=consumer,
        source="",
        name="",
        log_format="",
        position=-1,
        reason=reason,
        raw=message.value,
        at_us=message.appended_at_us,
        again=again,
        hindrance=hindrance,
    )


def _row(one: Letter, is_retried: bool) -> Row:
    return {
        "tenant": one.tenant_id,
        "place": one.place,
        "consumer": one.consumer,
        "source": one.source,
        "name": one.name,
        "format": one.log_format,
        "position": one.position,
        "reason": one.reason,
        "letter_id": one.letter_id,
        "at_us": one.at_us,
        "is_retried": is_retried,
        "hindrance": one.hindrance,
        "raw": one.raw[:_SHOWN].decode("utf-8", "backslashreplace"),
    }
