"""Tell the log what the ledger holds: written with the change, relayed afterwards."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Final, cast

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute, select
from storage.errors import InvalidInput
from storage.log import EventLog, Message, Record
from storage.log.partition import check_records

DEAD_LETTER: Final = "dead-letter"
_MAX_BYTES: Final = 32 << 20
_CUT_BYTES: Final = 64 << 10
_MOST_STEP: Final = 1024
_RAW: Final = "raw."
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:inopsio:outbox")


def tell(tx: Connection[TupleRow], topic: str, record: Record) -> None:
    """Leave a record for the log in the transaction of the change that it tells of.

    `tx`: a scoped transaction; the record becomes its tenant's. `key`: UTF-8. InvalidInput for
    what the log or the database would not take, so that the change is not made either.
    """
    check_records(topic, [record])
    try:
        key = record.key.decode()
        headers = json.dumps(dict(record.headers), ensure_ascii=False)
        headers.encode()
    except UnicodeError as error:
        raise InvalidInput(f"record for topic '{topic}': key and headers must be UTF-8") from error
    if any("\x00" in text for pair in [(key, ""), *record.headers.items()] for text in pair):
        raise InvalidInput(f"record for topic '{topic}': key and headers must be without NUL")
    execute(tx, "outbox_add", topic=topic, key=key, headers=headers, value=record.value)


def relay(
    writer: Callable[[], AbstractContextManager[Connection[TupleRow]]],
    log: EventLog,
    limit: int = 1000,
    is_after_break: bool = False,
) -> int:
    """Move the oldest rows of the outbox to the log, in order; give how many went.

    `writer`: opens a transaction as the writer role (`Database.writer`). Rows are deleted after the
    log has them, so that a crash between repeats and never loses: a record's header `id` (UUID) is
    the same each time. `is_after_break`: this is the first turn, or the last one failed: what it
    had appended already is sought at the topics' ends and left out (but not on raw topics, where
    others append too and readers know a repeat by its position). Header `tenant` is the row's. 0
    also while another relay is at work. What the log refuses goes to the dead letter, its value
    cut at 64 KiB. Unavailable: nothing is lost.
    """
    with writer() as tx:
        if not select(tx, "outbox_turn")[0]["is_mine"]:
            return 0
        rows = select(tx, "outbox_oldest", limit=limit, max_bytes=_MAX_BYTES)
        topics: dict[str, list[Record]] = {}
        for row in rows:
            topics.setdefault(str(row["topic"]), []).append(_record(row))
        for topic, records in topics.items():
            _append(log, topic, _missing(log, topic, records) if is_after_break else records)
        if rows:
            execute(tx, "outbox_forget", ids=[row["outbox_id"] for row in rows])
    return len(rows)


def _missing(log: EventLog, topic: str, records: Sequence[Record]) -> Sequence[Record]:
    """Leave out what lies among the last that a turn can have appended."""
    if topic.startswith(_RAW):
        return records
    told = {
        message.headers.get("id", "")
        for partition in range(log.partitions(topic))
        for message in _tail(log, topic, partition)
    }
    return [record for record in records if record.headers["id"] not in told]


def _tail(log: EventLog, topic: str, partition: int) -> Iterator[Message]:
    end = log.end(topic, partition)
    size, step = 0, 16
    while end > 0 and size <= _MAX_BYTES and step <= _MOST_STEP:
        first = max(0, end - step)
        place = first
        while place < end and (found := log.read(topic, partition, place, end - place)):
            for message in found:
                size += len(message.value)
                yield message
            place = found[-1].offset + 1
        end, step = first, step * 4


def _record(row: Mapping[str, object]) -> Record:
    tenant, at = str(row["tenant_id"]), cast("datetime", row["created_at"])
    # The moment is part of the name: a restored database may give the same number again.
    name = f"{tenant}\x1f{row['outbox_id']}\x1f{at.isoformat()}"
    headers = cast("Mapping[str, object]", row["headers"])
    return Record(
        str(row["key"]).encode(),
        bytes(cast("bytes", row["value"])),
        {"id": str(uuid.uuid5(_IDS, name))}
        | {k: str(v) for k, v in headers.items()}
        | {"tenant": tenant},
    )


def _append(log: EventLog, topic: str, records: Sequence[Record]) -> None:
    if not records:
        return
    try:
        log.append(topic, records)
    except InvalidInput:
        for record in records:
            _append_one(log, topic, record)


def _append_one(log: EventLog, topic: str, record: Record) -> None:
    try:
        log.append(topic, [record])
    except InvalidInput as error:
        place = {"consumer": "outbox", "reason": str(error)[:500], "topic": topic[:249]}
        kept = {k: record.headers[k][:500] for k in ("id", "tenant")}
        log.append(DEAD_LETTER, [Record(record.key[:500], record.value[:_CUT_BYTES], kept | place)])
