"""Write what sinks bring, inside the commit's transaction: events by COPY, the rest by set.

Every text is made storable first: PostgreSQL's text holds no NUL and no half of a surrogate pair,
and its indexes no long keys.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

import orjson
import polars as pl
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from storage.database.binary_copy import binary_copy
from storage.database.bounds import note_kept, within_bounds
from storage.database.queries import execute, named, select
from storage.outcome import (
    FACTS,
    DeadLetter,
    LakeFile,
    Mark,
    SourceProgress,
    dead_letter_message,
    finding_message,
    mark_message,
)
from storage.schema import EventBatch, Finding, Reason
from storage.wire import DEAD_LETTER, FINDING, HEADER, MARK

FINDINGS_TOPIC: Final = "findings"
SIGNALS_TOPIC: Final = "signals"
DEAD_LETTER_TOPIC: Final = "dead-letter"
CORRELATION: Final = "correlation"
"""The detector that reads the signals: what it claims is none of them."""

TEXT_MAX: Final = 16_384
"""Longest text of the hot table, characters; the lake has it whole."""
KEY_MAX: Final = 512
"""Longest text that is part of an index, characters: an index entry ends at 2,704 bytes."""

# Column of `events` -> column of the schema; the order is that of query `events_copy`.
EVENT_COLUMNS: Final = {
    "tenant_id": "tenant_id",
    "event_id": "event_id",
    "time": "time",
    "class_uid": "class_uid",
    "activity_id": "activity_id",
    "severity_id": "severity_id",
    "log_format": "metadata.log_format",
    "product": "metadata.product.name",
    "event_code": "metadata.event_code",
    "source": "source",
    "position": "position",
    "hostname": "device.hostname",
    "actor_user": "actor.user.name",
    "user_name": "user.name",
    "process_path": "process.file.path",
    "cmd_line": "process.cmd_line",
    "parent_path": "process.parent_process.file.path",
    "file_path": "file.path",
    "src_ip": "src_endpoint.ip",
    "src_port": "src_endpoint.port",
    "dst_ip": "dst_endpoint.ip",
    "dst_port": "dst_endpoint.port",
    "query_hostname": "query.hostname",
    "document_uid": "document.uid",
    "vendor_uid": "vendor.uid",
    "amount_cents": "amount_cents",
    "message": "message",
}
_SMALL: Final = {"class_uid", "activity_id", "severity_id", "src_port", "dst_port"}
"""Columns of type integer; other numbers are bigint."""
_NUL, _SIGN = "\x00", "\ufffd"
_NUL_IN_JSON: Final = b"\\u0000"


def copy_events(tx: Connection[TupleRow], *batches: EventBatch) -> None:
    """Copy the batches into the hot table; events that are there already are left as they are.

    The offset check keeps repeats away, so plain COPY is tried first (twice as fast); a replay or
    a source read twice falls back to a staging table and ON CONFLICT DO NOTHING.
    """
    frames = [batch.frame for batch in batches if len(batch)]
    if not frames:
        return
    try:
        with tx.transaction():  # a savepoint: a failed COPY must not spoil the commit
            _copy(tx, "events_copy", frames)
    except psycopg.errors.UniqueViolation:
        execute(tx, "events_stage")
        _copy(tx, "events_stage_copy", frames)
        execute(tx, "events_unstage")
        execute(tx, "events_stage_drop")


def event_rows(frames: Iterable[pl.DataFrame]) -> Iterator[bytes | memoryview]:
    """Give the frames as COPY `events_copy`, in pieces."""
    return binary_copy(map(hot_columns, frames), uuid="event_id")


def hot_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the hot table's columns; what one cannot hold is cut (a text) or null (a number)."""
    types = frame.schema
    texts = [name for name in EVENT_COLUMNS.values() if types.get(name) == pl.String]
    # Counting letters costs ten times as much as counting bytes, and cutting is rare.
    longest = frame.select(pl.col(texts).str.len_bytes().max()).row(0)
    sizes = dict(zip(texts, longest, strict=True))
    columns = []
    for column, name in EVENT_COLUMNS.items():
        value = pl.col(name) if name in types else pl.lit(None)
        most = KEY_MAX if column == "hostname" else TEXT_MAX
        if (sizes.get(name) or 0) > most:
            value = value.str.head(most)
        if column in _SMALL:
            value = value.cast(pl.Int32, strict=False)
        columns.append(value.alias(column))
    return frame.select(columns)


def storable_csv(frame: pl.DataFrame) -> bytes:
    """Give the frame as CSV for COPY; an empty text is quoted, a null is not, a NUL is replaced."""
    text = io.BytesIO()
    frame.write_csv(text, include_header=False)
    return text.getvalue().replace(_NUL.encode(), _SIGN.encode())


def _copy(tx: Connection[TupleRow], query: str, frames: Sequence[pl.DataFrame]) -> None:
    with tx.cursor() as cursor, cursor.copy(named(query)) as copy:
        for rows in event_rows(frames):
            copy.write(rows)


def insert_findings(tx: Connection[TupleRow], findings: Sequence[Finding]) -> list[str]:
    """Insert findings and tell the log of those that are new.

    Topic `findings` has what people are to see, `signals` every claim for the second flow. Gives
    the ids that are new; a finding claimed before is left as it is and not told again, and what is
    beyond a rule's bound (`storage.database.bounds`) is counted only.
    """
    if not findings:
        return []
    clean = within_bounds(tx, [_storable_finding(f) for f in findings])
    rows = select(tx, "findings_insert", rows=as_rows(clean))
    new = {(str(r["tenant_id"]), str(r["finding_id"])) for r in rows}
    told = {(f.tenant_id, f.finding_id): f for f in clean if (f.tenant_id, f.finding_id) in new}
    note_kept(tx, told.values())
    for_people = [f for f in told.values() if f.kind == "finding"]
    _tell(
        tx,
        FINDINGS_TOPIC,
        FINDING,
        [
            (f.tenant_id, f"{f.tenant_id}/{f.entity_type}:{f.entity}", f.finding_id, message)
            for f, message in ((f, finding_message(f)) for f in for_people)
        ],
    )
    # One key a tenant: whatever a correlation holds together must meet in one partition.
    _tell(
        tx,
        SIGNALS_TOPIC,
        FINDING,
        [
            (f.tenant_id, f.tenant_id, f.finding_id, finding_message(f))
            for f in told.values()
            if f.detector != CORRELATION
        ],
    )
    return [finding for _, finding in told]


def tell_dead_letters(tx: Connection[TupleRow], letters: Sequence[DeadLetter]) -> None:
    """Put refused records into the outbox, for topic `dead-letter`."""
    clean = [
        replace(
            m,
            tenant_id=_storable(m.tenant_id),
            source=_storable(m.source),
            name=_storable(m.name),
            log_format=_storable(m.log_format),
            reason=_storable(m.reason),
            trace_id=_storable(m.trace_id),
            schema=_storable(m.schema),
        )
        for m in letters
    ]
    _tell(
        tx,
        DEAD_LETTER_TOPIC,
        DEAD_LETTER,
        [
            (m.tenant_id, f"{m.tenant_id}/{m.source}", m.letter_id, dead_letter_message(m))
            for m in clean
        ],
    )


def tell_marks(tx: Connection[TupleRow], sources: Sequence[SourceProgress]) -> None:
    """Put a mark behind the claims of this transaction, for each source of business facts.

    Whoever reads topic `signals` in order and comes by it has seen all that was claimed of those
    facts: same key, so same partition; a later row, so told later.
    """
    marks = [
        Mark(s.tenant_id, s.source, s.next_position) for s in sources if s.source.startswith(FACTS)
    ]
    told = [(mark.tenant_id, *mark_message(mark)) for mark in marks]
    _tell(tx, SIGNALS_TOPIC, MARK, [(tenant, tenant, name, value) for tenant, name, value in told])


def _tell(
    tx: Connection[TupleRow],
    topic: str,
    schema: str,
    messages: Sequence[tuple[str, str, str, bytes]],
) -> None:
    """Put (tenant, key, id, value) into the outbox."""
    if messages:
        execute(
            tx,
            "outbox_put",
            topic=topic,
            tenants=[tenant for tenant, _, _, _ in messages],
            keys=[_storable(key) for _, key, _, _ in messages],
            headers=[
                Jsonb({"id": name, "tenant": tenant, HEADER: schema})
                for tenant, _, name, _ in messages
            ],
            values=[value for _, _, _, value in messages],
        )


def insert_lake_files(tx: Connection[TupleRow], files: Sequence[LakeFile]) -> None:
    """Enter files into the lake's manifest; a file that is entered already is left as it is."""
    if files:
        execute(tx, "lake_files_insert", rows=as_rows(files))


def _storable_finding(finding: Finding) -> Finding:
    return replace(
        finding,
        rule_id=_storable(finding.rule_id),
        title=_storable(finding.title),
        entity_type=_storable(finding.entity_type),
        entity=_storable(finding.entity)[:KEY_MAX],
        reasons=tuple(
            Reason(_storable(r.name), _storable(r.value), _storable(r.expected), r.weight)
            for r in finding.reasons
        ),
        links=tuple((_storable(kind), _storable(name)) for kind, name in finding.links),
        fields=tuple((_storable(name), _storable(value)) for name, value in finding.fields),
    )


def _storable(text: str) -> str:
    # Half a surrogate pair stands in the name of a file whose name is not UTF-8.
    return text.replace(_NUL, _SIGN).encode(errors="replace").decode()


def as_rows(records: Sequence[SourceProgress | LakeFile | Finding | Mark]) -> str:
    """Give flat records as the JSON that the queries' json_to_recordset reads."""
    try:
        plain = orjson.dumps(list(records))
    except TypeError:  # half of a surrogate pair
        plain = None
    if plain is not None and _NUL_IN_JSON not in plain:
        return plain.decode()
    rows = [
        {k: _storable(v) if isinstance(v, str) else v for k, v in asdict(record).items()}
        for record in records
    ]
    return orjson.dumps(rows).decode()
