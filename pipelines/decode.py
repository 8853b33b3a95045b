"""Turn log messages into event columns: drop repeats, parse, put refused records aside."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.dead_letter import letter_of
from pipelines.formats import HEAD_BYTES, detect_format
from pipelines.parsers import Reject
from pipelines.parsing import parse_stream
from storage.errors import InvalidInput
from storage.log import Message
from storage.outcome import DeadLetter, SourceProgress
from storage.schema import EventBatch
from storage.tenant import tenant_name

AUTO: Final = "auto"
"""Header `format` of a sender that named none: found by content, message by message."""

Parse = Callable[[Message], Iterator[tuple[EventBatch, list[Reject]]]]
"""Reads one message into batches; InvalidInput if it cannot go on. See `parse_message`."""


def parse_message(message: Message) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Read one message by its headers. The house received it when the log did: a second reading
    gives the same events.
    """
    tenant_id, source, position = origin_of(message)
    log_format = message.headers["format"]
    if log_format == AUTO:
        log_format = detect_format(message.value[:HEAD_BYTES], message.headers.get("name", ""))
    return parse_stream(
        log_format,
        [message.value],
        tenant_id=tenant_id,
        source=source,
        name=message.headers.get("name", ""),
        ingested_at_us=message.appended_at_us,
        first_position=position,
    )


@dataclass(frozen=True, slots=True)
class Decoded:
    """One message as columns. `frame` is None where nothing in it could be read."""

    message: Message
    frame: pl.DataFrame | None
    letters: tuple[DeadLetter, ...]
    progress: SourceProgress | None


def decode(message: Message, next_position: int, parse: Parse) -> Decoded:
    """Read one message whose origin has been read up to `next_position`.

    Records before that are repeats and vanish. What cannot be read becomes letters.
    """
    try:
        first = origin_of(message)[2]
    except InvalidInput as error:
        return Decoded(
            message, None, (letter_of(message, message.offset, str(error), message.value),), None
        )
    frames: list[pl.DataFrame] = []
    letters: list[DeadLetter] = []
    end = first
    try:
        for batch, rejects in parse(message):
            for reject in rejects:
                end = max(end, reject.position + 1)
                if reject.position >= next_position:
                    letters.append(letter_of(message, reject.position, reject.reason, reject.raw))
            if len(batch):
                end = max(end, int(batch.frame["position"].max()) + 1)  # type: ignore[arg-type]  # Int64
                frames.append(batch.frame)
    except InvalidInput as error:
        if end >= next_position:
            rest = _rest_of(message, end - first)
            letters.append(letter_of(message, end, str(error), rest))
        end += 1
    frame = pl.concat(frames, how="diagonal") if frames else None
    if frame is not None and next_position > first:
        frame = frame.filter(pl.col("position") >= next_position)
    return Decoded(message, frame, tuple(letters), _progress(message, frame, letters, end))


def origin_of(message: Message) -> tuple[str, str, int]:
    """Give (tenant, source, first position) of a message; InvalidInput names the bad header."""
    headers = message.headers
    for name in ("tenant", "source", "position", "format"):
        if not headers.get(name):
            raise InvalidInput(f"message has no header '{name}'; the front door sets it")
    try:
        position = int(headers["position"])
    except ValueError:
        position = -1
    if not 0 <= position < 2**62:
        raise InvalidInput(f"header 'position' is {headers['position'][:40]!r}, not a number")
    return tenant_name(headers["tenant"]), headers["source"], position


def _progress(
    message: Message, frame: pl.DataFrame | None, letters: list[DeadLetter], end: int
) -> SourceProgress:
    tenant_id, source, _ = origin_of(message)
    return SourceProgress(
        tenant_id=tenant_id,
        source=source,
        name=message.headers.get("name", source),
        log_format=message.headers["format"],
        next_position=end,
        events=frame.height if frame is not None else 0,
        rejected=len(letters),
        last_reason=letters[-1].reason if letters else None,
    )


def add_progress(parts: Iterable[SourceProgress]) -> tuple[SourceProgress, ...]:
    """Add up the progress of each origin, in order of first appearance."""
    whole: dict[tuple[str, str], SourceProgress] = {}
    for part in parts:
        key = (part.tenant_id, part.source)
        old = whole.get(key)
        whole[key] = (
            part
            if old is None
            else SourceProgress(
                part.tenant_id,
                part.source,
                part.name,
                part.log_format,
                max(old.next_position, part.next_position),
                old.events + part.events,
                old.rejected + part.rejected,
                part.last_reason or old.last_reason,
            )
        )
    return tuple(whole.values())


def _rest_of(message: Message, records: int) -> bytes:
    """Give what follows the records already read, so that driving it again doubles none of them."""
    if not records:
        return message.value
    lines = [line for line in message.value.splitlines(keepends=True) if line.strip()]
    return b"".join(lines[records:])


def raw_of(message: Message, position: int, records: int) -> bytes:
    """Give the bytes of one record of a message, or the whole message if it is not in lines."""
    first = origin_of(message)[2]
    lines = [line for line in message.value.splitlines() if line.strip()]
    if len(lines) == records and 0 <= position - first < records:
        return lines[position - first]
    return message.value


def unknown_origins(
    messages: Iterable[Message], known: Mapping[tuple[str, str], int]
) -> list[tuple[str, str]]:
    """Give the (tenant, source) pairs of the messages of which `known` says nothing."""
    pairs: dict[tuple[str, str], None] = {}
    for message in messages:
        try:
            tenant_id, source, _ = origin_of(message)
        except InvalidInput:
            continue  # it becomes a dead letter when it is decoded
        if (tenant_id, source) not in known:
            pairs[tenant_id, source] = None
    return list(pairs)
