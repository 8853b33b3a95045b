"""Write batches of events as a message's bytes and read them back: an Arrow IPC stream, zstd."""

import io
from collections.abc import Iterator
from typing import Final

import polars as pl

from storage.errors import InvalidBatch, InvalidInput
from storage.log import Message
from storage.schema import ENVELOPE, EventBatch
from storage.schema.columns import UNMAPPED, column_named
from storage.wire import check_schema

CONTENT: Final = "application/vnd.apache.arrow.stream"
MOST_BYTES: Final = 8 << 20
"""Largest value of a message before it is cut in two; the log takes twice of it."""
LONGEST: Final = 16_384
"""Longest text, characters, of a row that alone is larger than that."""
_ALWAYS: Final = frozenset(column.name for column in ENVELOPE)


def written(frame: pl.DataFrame, most_bytes: int = MOST_BYTES) -> Iterator[tuple[int, bytes]]:
    """Give (rows, bytes) of messages that hold the frame, of one tenant, in order.

    Columns that no row fills are left out: their names may be those of another tenant's fields.
    """
    kept = [c for c in frame.columns if c in _ALWAYS or frame[c].null_count() < frame.height]
    value = _stream(frame.select(kept))
    if len(value) <= most_bytes:
        yield frame.height, value
    elif frame.height > 1:
        half = frame.height // 2
        for part in (frame[:half], frame[half:]):
            yield from written(part, most_bytes)
    else:
        texts = pl.col(pl.String).exclude(_ALWAYS).str.head(LONGEST)
        yield 1, _stream(frame.select(kept).with_columns(texts))


def batch_of(message: Message) -> EventBatch:
    """Read a message of a topic `events.TENANT`; InvalidInput if it is none, or of a newer version.

    Columns that this version does not know are left out.
    """
    check_schema(message.headers, "events")
    try:
        frame = pl.read_ipc_stream(io.BytesIO(message.value))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InvalidInput(f"message is no Arrow stream: {str(error)[:200]}") from error
    known = [c for c in frame.columns if column_named(c) or c.startswith(UNMAPPED)]
    try:
        return EventBatch.of(frame.select(known))
    except InvalidBatch as error:
        raise InvalidInput(f"message is no batch of events: {error}") from error


def _stream(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    # The oldest layout: readers older than Arrow's view types take it.
    frame.write_ipc_stream(out, compression="zstd", compat_level=pl.CompatLevel.oldest())
    return out.getvalue()
