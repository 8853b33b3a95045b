"""Read bytes of one format into event columns; one file a format, found by folder.

A parser is a module with:

    FORMAT: str                      its name, as `--format` and `metadata.log_format` say it
    matches(head: bytes) -> float    0..1, how sure it is that a stream beginning so is its own
    parse(chunks: Iterable[bytes]) -> Iterator[Parsed]

`matches` gets the first 64 KiB and must be quick. `parse` gets the stream in pieces of any size and
yields frames of at most 8,192 rows, holding no more than one frame in memory. Its frames have
`position` (Int64, record number from 0), `time`, `class_uid`, any other columns of
`storage.schema`, and the source's own fields as `unmapped.*`. It need not fill the rest of the
envelope: `pipelines.parsing` stamps tenant, source, ids and times. A bad record becomes a `Reject`
and the good rest goes on; a stream that cannot be read further raises InvalidBatch. It never
raises anything else on purpose. Optional names:

    split(chunks, max_bytes) -> Iterator[tuple[int, bytes]]
        cut a stream into self-contained messages: (position of the first record, bytes).
        Default: whole lines. Messages in order, handed to `parse` one after the other, are the
        same stream again; the cut depends on the bytes alone, so a repeat gives the same messages.
    resolve_times(frame, ingested_us) -> frame
        fill `time` where the source leaves out what only the arrival tells (a year).
    LINES = True
        every line is read by itself, and says the same whatever lines stand beside it: lines of
        many senders may be read in one call.
    AT_EDGE = True
        parsed where the file lies (captures): events travel as OCSF NDJSON, not the raw bytes.

What parsers share lies beside them: `_lines` (blocks of whole lines, UTF-16 to UTF-8), `_json`
(JSON of any layout to text columns), `_text` (lines to columns), `_time` (times in any writing).
"""

from typing import Final, NamedTuple

import polars as pl

CONTRACT: Final = ("FORMAT", "matches", "parse")


class Reject(NamedTuple):
    """One record that could not be read: where, why, and its bytes (cut at 64 KiB)."""

    position: int
    reason: str
    raw: bytes


class Parsed(NamedTuple):
    """What a parser yields: a frame (maybe empty) and what it had to refuse on the way."""

    frame: pl.DataFrame
    rejects: list[Reject]
