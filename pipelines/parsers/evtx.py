"""Read Windows event logs in their binary form (EVTX).

Layout (libyal's documentation of the format): a 4,096-byte file header, then chunks of 64 KiB,
each with its own strings and templates and therefore readable alone. A chunk that the decoder
refuses is read again record by record; what stays unreadable becomes rejects.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import polars as pl
from evtx import PyEvtxParser

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._json import decode_block
from pipelines.parsers._lines import Block
from pipelines.parsers._windows import normalise
from storage.errors import InvalidBatch

FORMAT: Final = "evtx"
HEADER_BYTES: Final = 4096
CHUNK_BYTES: Final = 64 << 10
_FILE_MARK: Final = b"ElfFile\x00"
_CHUNK_MARK: Final = b"ElfChnk\x00"
_RECORD_MARK: Final = b"\x2a\x2a\x00\x00"
_TABLES_START: Final = 128
_FIRST_RECORD: Final = 512
_BATCH_ROWS: Final = 4096
_MAX_TEXT_BYTES: Final = 64 << 20
"""Most JSON text one 64 KiB chunk may unfold to; templates could make more of it."""


class _Chunk(NamedTuple):
    """Hold one chunk, its first record's number, and the ids of the records it holds in order."""

    data: bytes
    position: int
    ids: list[int]


def matches(head: bytes) -> float:
    """Say 1.0 for the mark of an EVTX file.

    >>> matches(b"ElfFile" + bytes(9))
    1.0
    """
    return 1.0 if head.startswith(_FILE_MARK) else 0.0


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut a log into small logs: the file header, made right for them, and whole chunks."""
    limit = max(1, (max_bytes - HEADER_BYTES) // CHUNK_BYTES)
    held: list[_Chunk] = []
    for chunk in _chunks(chunks):
        held.append(chunk)
        if len(held) == limit:
            yield held[0].position, _log_of(held)
            held = []
    if held:
        yield held[0].position, _log_of(held)


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give events with OCSF columns beside the event's own fields as `unmapped.*`.

    Several logs one after the other (the messages of `split`) are read as one.
    """
    texts: list[str] = []
    positions: list[int] = []
    rejects: list[Reject] = []
    for chunk in _chunks(chunks):
        found, refused = _records(chunk)
        for position, text in found:
            positions.append(position)
            texts.append(text)
        rejects += refused
        if len(texts) >= _BATCH_ROWS:
            yield from _batch(texts, positions, rejects)
            texts, positions, rejects = [], [], []
    yield from _batch(texts, positions, rejects)


def _batch(texts: list[str], positions: list[int], rejects: list[Reject]) -> Iterator[Parsed]:
    """Decode the records' JSON at once; a line of it is a record."""
    text = "\n".join(t.replace("\n", " ") for t in texts).encode("utf-8", "replace")
    place = pl.Series("position", positions, dtype=pl.Int64)
    for records in decode_block(Block(0, text, len(texts), [])):
        position = place.gather(records.position)
        moved = [r._replace(position=positions[r.position]) for r in records.rejects]
        yield Parsed(normalise(records._replace(position=position)), rejects + moved)
        rejects = []


def _chunks(pieces: Iterable[bytes]) -> Iterator[_Chunk]:
    """Give the chunks that hold records; pass over file headers and unused chunks."""
    kept = bytearray()
    position = 0
    seen_header = False
    for piece in pieces:
        kept += piece
        at = 0
        while len(kept) - at >= len(_FILE_MARK):
            is_header = kept.startswith(_FILE_MARK, at)
            if not (seen_header or is_header):
                raise InvalidBatch("the mark 'ElfFile' is missing; this is no EVTX", format=FORMAT)
            seen_header = True
            need = HEADER_BYTES if is_header else CHUNK_BYTES
            if len(kept) - at < need:
                break
            if not is_header:
                data = bytes(kept[at : at + need])
                chunk = _Chunk(data, position, _record_ids(data))
                position += len(chunk.ids)
                if chunk.ids or data.strip(b"\0"):
                    yield chunk
            at += need
        del kept[:at]
    if not seen_header:
        raise InvalidBatch("too short for an EVTX header", format=FORMAT)
    if kept:
        yield _Chunk(bytes(kept), position, _record_ids(bytes(kept)))


def _record_ids(data: bytes) -> list[int]:
    """Walk the records' own headers; stop where they do."""
    ids: list[int] = []
    at = _FIRST_RECORD
    while data.startswith(_RECORD_MARK, at) and at + 16 <= len(data):
        size, number = struct.unpack_from("<IQ", data, at + 4)
        if size < 28 or at + size > CHUNK_BYTES:
            break
        ids.append(number)
        at += size
    return ids


def _log_of(chunks: list[_Chunk]) -> bytes:
    head = bytearray(HEADER_BYTES)
    struct.pack_into("<8sQQQIHHHH", head, 0, _FILE_MARK, 0, len(chunks) - 1, 1, 128, 1, 3, 4096, 0)
    struct.pack_into("<H", head, 42, len(chunks))
    struct.pack_into("<I", head, 124, zlib.crc32(head[:120]))
    return bytes(head) + b"".join(c.data for c in chunks)


def _records(chunk: _Chunk) -> tuple[list[tuple[int, str]], list[Reject]]:
    """Give (position, JSON text) of a chunk's records and a reject for what is lost of it."""
    if not chunk.data.startswith(_CHUNK_MARK):
        return [], [Reject(chunk.position, "chunk without its mark 'ElfChnk'", chunk.data)]
    if len(chunk.data) < CHUNK_BYTES:
        reason = f"chunk is cut off after {len(chunk.data)} of {CHUNK_BYTES} bytes"
        padded = chunk._replace(data=chunk.data.ljust(CHUNK_BYTES, b"\0"))
        found, _ = _read(padded, skip_errors=True)
        return _placed(chunk, found), [Reject(chunk.position + len(chunk.ids), reason, chunk.data)]
    found, wrong = _read(chunk, skip_errors=False)
    if wrong:
        found, _ = _read(chunk, skip_errors=True)
        if not found:
            # Names and templates also stand where they are first used; do without their tables.
            bare = chunk.data[:_TABLES_START] + bytes(_FIRST_RECORD - _TABLES_START)
            bare += chunk.data[_FIRST_RECORD:]
            found, _ = _read(chunk._replace(data=bare), skip_errors=True)
    placed = _placed(chunk, found)
    if not wrong:
        return placed, []
    have = {position for position, _ in placed}
    lost = [n for n in range(chunk.position, chunk.position + len(chunk.ids)) if n not in have]
    return placed, [Reject(n, wrong, chunk.data) for n in lost[:1] or [chunk.position]] + [
        Reject(n, wrong, b"") for n in lost[1:]
    ]


def _read(chunk: _Chunk, *, skip_errors: bool) -> tuple[list[dict[str, Any]], str]:
    """Run the decoder over one chunk: its records, and why it stopped (empty: it did not)."""
    found: list[dict[str, Any]] = []
    size = 0
    log = io.BytesIO(_log_of([chunk]))
    try:
        # The decoder tells of what it skips by warnings; the caller counts it by position.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            parser = PyEvtxParser(log, number_of_threads=1, skip_errors=skip_errors)
            for record in parser.records_json():
                if record is None:
                    continue
                found.append(record)
                size += len(record["data"])
                if size > _MAX_TEXT_BYTES:
                    return found, f"chunk unfolds to more than {_MAX_TEXT_BYTES} bytes"
    except (RuntimeError, OSError, ValueError, OverflowError) as wrong:
        return found, str(wrong)[:300]
    return found, ""


def _placed(chunk: _Chunk, found: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Number the records by their place in the chunk; one whose id is odd follows the last."""
    places = {number: n for n, number in enumerate(chunk.ids)}
    return [
        (chunk.position + places.get(record["event_record_id"], n), record["data"])
        for n, record in enumerate(found)
    ]
