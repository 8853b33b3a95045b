"""Read many messages in one parser call, whoever sent them: the fast way of `decode`.

A parser costs about 10 ms a call however little it reads. Messages of line formats (one JSON object
a line, each line read by itself: parsers with `LINES`) are therefore laid end to end, parsed at
once and told apart again by their line numbers; tenant, source, position and arrival are columns.
What a message says does not depend on what it was read together with: where that could be (a
parser that raises, more keys than a frame holds) the messages are read in halves, at last one by
one by `decode`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.decode import (
    AUTO,
    Decoded,
    Letters,
    Run,
    decode_runs,
    format_of,
    origin_of,
    parse_run,
    runs_of,
)
from pipelines.parsers import Reject
from pipelines.parsers._json import MORE, is_ndjson
from pipelines.parsing import Origins, parser_named, stamp_rows
from storage.errors import InvalidInput
from storage.log import Message
from storage.outcome import SourceProgress
from storage.schema import UNMAPPED

_HEAD: Final = 4096
_MORE: Final = UNMAPPED + MORE
_Numbers = npt.NDArray[np.int64]
Positions = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class _Line:
    """One message that can be read together with others. `lines` counts those of `value`."""

    message: Message
    pair: tuple[str, str]
    first: int
    format: str
    lines: int


@dataclass(frozen=True, slots=True)
class _Read:
    """Rows and refused records of some messages; `at`, `refused_at`: which message, by number."""

    frame: pl.DataFrame
    at: _Numbers
    rejects: list[Reject]
    refused_at: _Numbers


class _Apart(Exception):
    """These messages cannot be read together."""


def decode_all(
    messages: Sequence[Message], positions: Positions
) -> tuple[list[Decoded], dict[tuple[str, str], int]]:
    """Read the messages in order; give what they hold and the positions after them.

    Equal to `decode_each` of each run, put together: rows of a partition keep their order.
    """
    known = dict(positions)
    decoded: list[Decoded] = []
    for together, stretch in _stretches(messages):
        decoded += _joined(together, known) if together else decode_runs(stretch, known, parse_run)
    return decoded, known


def _stretches(messages: Sequence[Message]) -> list[tuple[list[_Line], list[Message]]]:
    """Cut into stretches that can be read together, and those between that cannot."""
    found: list[tuple[list[_Line], list[Message]]] = []
    partition = -1
    for message in messages:
        line = _line_of(message)
        is_alike = bool(found) and bool(found[-1][0]) == (line is not None)
        if not is_alike or (line is not None and partition != message.partition):
            found.append(([], []))
        partition = message.partition
        if line is None:
            found[-1][1].append(message)
        else:
            found[-1][0].append(line)
    return found


def _line_of(message: Message) -> _Line | None:
    """Give the message as lines, or None if it is anything but whole JSON objects, one a line."""
    value = message.value
    if not value.startswith(b"{") or b"\x00" in value[:4]:
        return None
    breaks = value.count(b"\n")
    ends = value.endswith(b"\n")
    if breaks > ends and not is_ndjson(value[:_HEAD]):
        return None
    try:
        tenant_id, source, first = origin_of(message)
        named = message.headers["format"]
        log_format = format_of(message) if named == AUTO else named
        if not getattr(parser_named(log_format), "LINES", False):
            return None
    except InvalidInput:
        return None
    return _Line(message, (tenant_id, source), first, log_format, breaks + (not ends))


def _joined(lines: list[_Line], known: dict[tuple[str, str], int]) -> list[Decoded]:
    messages = [line.message for line in lines]
    if len(lines) == 1 or len(runs_of(messages)) == 1:
        return decode_runs(messages, known, parse_run)
    try:
        read = _read_all(lines)
    except _Apart:
        half = len(lines) // 2
        return _joined(lines[:half], known) + _joined(lines[half:], known)
    return [_told(lines, read, known)]


def _read_all(lines: list[_Line]) -> _Read:
    by_format: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        by_format.setdefault(line.format, []).append(number)
    parts = [_read(name, numbers, lines) for name, numbers in by_format.items()]
    frame = _under_each_other([part.frame for part in parts if part.frame.height])
    at = _end_to_end([part.at for part in parts])
    if len(parts) > 1 and len(at):
        # As they lie in the partition: what is late hangs on the rows before.
        order = np.argsort(at, kind="stable")
        frame, at = frame[order], at[order]
    rejects = [reject for part in parts for reject in part.rejects]
    return _Read(frame, at, rejects, _end_to_end([part.refused_at for part in parts]))


def _read(log_format: str, numbers: list[int], lines: list[_Line]) -> _Read:
    """Parse the numbered messages, all of one format, as one stream of lines."""
    mine = [lines[number] for number in numbers]
    starts = np.cumsum([0, *(line.lines for line in mine)])[:-1]
    firsts = np.array([line.first for line in mine], dtype=np.int64)
    where = np.array(numbers, dtype=np.int64)
    origins = _origins(mine)
    frames: list[pl.DataFrame] = []
    at: list[_Numbers] = []
    rejects: list[Reject] = []
    refused: list[_Numbers] = []
    try:
        for found in parser_named(log_format).parse(_text(line) for line in mine):
            if MORE in found.frame.columns or _MORE in found.frame.columns:
                raise _Apart  # keys of one sender must not push out those of another
            if found.rejects:
                places = np.array([reject.position for reject in found.rejects], dtype=np.int64)
                whose = np.searchsorted(starts, places, side="right") - 1
                own = (places - starts[whose] + firsts[whose]).tolist()
                rejects += [r._replace(position=p) for r, p in zip(found.rejects, own, strict=True)]
                refused.append(where[whose])
            if not found.frame.height:
                continue
            place = found.frame.get_column("position").to_numpy()
            whose = np.searchsorted(starts, place, side="right") - 1
            own_place = place - starts[whose] + firsts[whose]
            batch = stamp_rows(found.frame, origins, whose, own_place, log_format)
            frames.append(batch.frame)
            at.append(where[whose])
    except _Apart:
        raise
    except Exception as wrong:  # the parser boundary: read apart, the one that raises is named
        raise _Apart from wrong
    return _Read(_under_each_other(frames), _end_to_end(at), rejects, _end_to_end(refused))


def _under_each_other(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if len(frames) > 1:
        return pl.concat(frames, how="diagonal")
    return frames[0] if frames else pl.DataFrame()


def _end_to_end(parts: list[_Numbers]) -> _Numbers:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _text(line: _Line) -> bytes:
    value = line.message.value
    return value if value.endswith(b"\n") else value + b"\n"


def _origins(lines: list[_Line]) -> Origins:
    return Origins.of(
        [line.pair for line in lines], [line.message.appended_at_us for line in lines]
    )


def _told(lines: list[_Line], read: _Read, known: dict[tuple[str, str], int]) -> Decoded:
    """Leave out repeats, put refused records aside, say how far each origin was read."""
    firsts = np.array([line.first for line in lines], dtype=np.int64)
    ends = firsts.copy()
    place = (
        read.frame.get_column("position").to_numpy()
        if read.frame.height
        else np.empty(0, dtype=np.int64)
    )
    np.maximum.at(ends, read.at, place + 1)
    refused = np.array([reject.position for reject in read.rejects], dtype=np.int64)
    np.maximum.at(ends, read.refused_at, refused + 1)
    floors = np.empty(len(lines), dtype=np.int64)
    for number, (line, end) in enumerate(zip(lines, ends.tolist(), strict=True)):
        before = known.get(line.pair, 0)
        floors[number] = before
        known[line.pair] = max(before, end)
    frame = read.frame
    at = read.at
    if (firsts < floors).any():
        fresh = place >= floors[at]
        frame, at = frame.filter(pl.Series(fresh)), at[fresh]
    letters: dict[tuple[str, str], Letters] = {}
    for reject, number in zip(read.rejects, read.refused_at.tolist(), strict=True):
        if reject.position >= floors[number]:
            line = lines[number]
            own = letters.setdefault(line.pair, Letters(line.message))
            own.message = line.message
            own.add(reject)
    run: Run = tuple(line.message for line in lines)
    counts = np.bincount(at, minlength=len(lines)).tolist()
    return Decoded(
        run,
        frame if frame.width else None,
        tuple(letter for own in letters.values() for letter in own.written()),
        tuple(_progress(lines, ends.tolist(), counts, letters)),
    )


def _progress(
    lines: list[_Line],
    ends: list[int],
    counts: list[int],
    letters: Mapping[tuple[str, str], Letters],
) -> list[SourceProgress]:
    """Say of each origin how far it was read, and how many of its events are new."""
    last: dict[tuple[str, str], int] = {}
    read: dict[tuple[str, str], int] = {}
    events: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines):
        pair = line.pair
        last[pair] = number
        read[pair] = max(read.get(pair, 0), ends[number])
        events[pair] = events.get(pair, 0) + counts[number]
    told: list[SourceProgress] = []
    for pair, number in last.items():
        headers = lines[number].message.headers
        own = letters.get(pair)
        told.append(
            SourceProgress(
                *pair,
                name=headers.get("name", pair[1]),
                log_format=headers["format"],
                next_position=read[pair],
                events=events[pair],
                rejected=own.count if own else 0,
                last_reason=own.last_reason if own else None,
            )
        )
    return told
