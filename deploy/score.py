"""Score series in CSV files, row by row in bounded memory; what cannot be read is named."""

import csv
import gzip
import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from detectors._series import AlertOnce, SeriesScorer
from storage.errors import InvalidInput

LONGEST_LINE_BYTES: Final = 1 << 16
GZIP_START: Final = b"\x1f\x8b"
UTF8_BOM: Final = b"\xef\xbb\xbf"
UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
EPOCH_UNITS: Final = ((1e16, 1e9), (1e14, 1e6), (1e11, 1e3))
"""A number beyond the first is so many parts of a second since 1970."""
NAMED_COLUMNS: Final = 8


class Lines(Protocol):
    """Give lines of bytes, cut at a length."""

    def readline(self, size: int, /) -> bytes:
        """Give the next line, at most `size` bytes of it; empty at the end."""


Refuse = Callable[[int, str], None]
"""Told (line, reason) of each row that was left out."""


@dataclass(frozen=True, slots=True)
class Point:
    """Hold one row: its number from 0, its time as written and in seconds, its value.

    `value`: None where the row was refused; nothing is scored or learned of it then.
    """

    row: int
    time: str
    time_s: float
    value: float | None


def score_rows(file: Path, points: Iterable[Point]) -> Iterator[dict[str, object]]:
    """Give one line of output for each row: file, row, time and score, 0 if it was refused."""
    scorer = SeriesScorer()
    for point in points:
        told = {"file": str(file), "row": point.row, "time": point.time}
        if point.value is None:
            yield {**told, "score": 0.0}
        else:
            yield {**told, "score": scorer.score(point.time_s, point.value).score}


def alert_rows(file: Path, points: Iterable[Point]) -> Iterator[dict[str, object]]:
    """Give one line of output for each onset of something unusual, with its reason."""
    scorer, alert, seen = SeriesScorer(), AlertOnce(), -1
    for point in points:
        if point.value is None:
            continue
        seen += 1
        scored = scorer.score(point.time_s, point.value)
        if alert.is_alert(seen, scored.score):
            yield {
                "file": str(file),
                "row": point.row,
                "time": point.time,
                "score": scored.score,
                "reason": scorer.reason(scored),
            }


def read_points(file: Path, time: str, value: str, refuse: Refuse) -> Iterator[Point]:
    """Give a CSV file's rows (plain or gzip, UTF-8), one at a time; refuse what is none.

    A row is refused too if its time lies before that of the row above: a series is read in order.
    Raises InvalidInput if the file has no header with both columns or cannot be unpacked further.
    """
    if not file.is_file():
        raise InvalidInput("not a regular file")
    with file.open("rb") as raw:
        packed = raw.read(2) == GZIP_START
        raw.seek(0)
        try:
            yield from _points(gzip.GzipFile(fileobj=raw) if packed else raw, time, value, refuse)
        except (EOFError, zlib.error, gzip.BadGzipFile) as broken:
            raise InvalidInput(f"the gzip data are damaged or cut off ({broken})") from broken


def _points(stream: Lines, time: str, value: str, refuse: Refuse) -> Iterator[Point]:
    lines = _lines(stream)
    places = _places(next(lines, None), (time, value))
    row, above_s = -1, -math.inf
    for number, line in lines:
        if line is not None and not line.strip():
            continue
        row += 1
        written, time_s, number_read = "", 0.0, None
        try:
            written, amount = _pick(_cells(line), places, (time, value))
            time_s = _seconds(written, time)
            is_back, above_s = time_s < above_s, time_s
            read = _number(amount, value)
            if is_back:
                raise InvalidInput(
                    f"'{written[:40]}' in '{time}' is before the time of the row above; "
                    "sort the rows by time"
                )
            number_read = read
        except InvalidInput as wrong:
            refuse(number, str(wrong))
        yield Point(row, written, time_s, number_read)


def _lines(stream: Lines) -> Iterator[tuple[int, bytes | None]]:
    """Give (number from 1, line); None for a line too long to be held."""
    for number in itertools.count(1):
        line = stream.readline(LONGEST_LINE_BYTES)
        if not line:
            return
        if len(line) < LONGEST_LINE_BYTES or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE_BYTES)
        yield number, None


def _places(head: tuple[int, bytes | None] | None, wanted: Sequence[str]) -> list[int]:
    """Find the wanted columns in the header line."""
    if head is None:
        raise InvalidInput(f"is empty; a header line with {' and '.join(wanted)} is needed")
    line = head[1]
    if line is not None and line.startswith(UTF16_BOMS):
        raise InvalidInput("line 1: this is UTF-16; save it as UTF-8")
    try:
        names = [n.strip() for n in _cells(line and line.removeprefix(UTF8_BOM))]
    except InvalidInput as wrong:
        raise InvalidInput(f"line 1: {wrong}; a CSV header line is needed") from wrong
    for name, option in zip(wanted, ("--time", "--value"), strict=True):
        if name not in names:
            shown = ", ".join(f"'{n[:40]}'" for n in names[:NAMED_COLUMNS])
            more = ", ..." * (len(names) > NAMED_COLUMNS)
            raise InvalidInput(
                f"line 1: no column '{name}'; it has {shown}{more}; name one with {option}"
            )
    return [names.index(name) for name in wanted]


def _cells(line: bytes | None) -> list[str]:
    if line is None:
        raise InvalidInput(f"longer than {LONGEST_LINE_BYTES:,} bytes")
    if b"\0" in line:
        raise InvalidInput("holds NUL bytes, so it is no text")
    try:
        return next(csv.reader([line.decode("utf-8")], strict=True))
    except UnicodeDecodeError as wrong:
        raise InvalidInput("is not UTF-8; save the file as UTF-8") from wrong
    except (csv.Error, StopIteration) as wrong:
        raise InvalidInput(f"is no CSV ({wrong}); a cell may not run over lines") from wrong


def _pick(cells: list[str], places: list[int], wanted: Sequence[str]) -> tuple[str, str]:
    if len(cells) <= max(places):
        missing = wanted[places.index(max(places))]
        raise InvalidInput(f"has {len(cells)} cells, none for '{missing}'; add it or take it out")
    return cells[places[0]].strip(), cells[places[1]].strip()


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"'{text[:40]}' in '{column}' is no finite number; write it like 12.5")
    return number


def _seconds(text: str, column: str) -> float:
    """Read a time: ISO 8601 (without a zone: UTC), or seconds, ms, us or ns since 1970."""
    try:
        return _since_1970(text)
    except (ValueError, OverflowError) as wrong:
        raise InvalidInput(
            f"'{text[:40]}' in '{column}' is no time; write it like 2026-01-31 08:30:00 "
            "or as seconds since 1970"
        ) from wrong


def _since_1970(text: str) -> float:
    if text.replace(".", "", 1).isdecimal():
        number = float(text)
        part = next((p for least, p in EPOCH_UNITS if number >= least), 1.0)
        datetime.fromtimestamp(number / part, UTC)
        return number / part
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
