"""`inopsio score`: how strange is each row of a series, and when to alert? Needs no server."""

from collections.abc import Iterator
from pathlib import Path

import cyclopts

from deploy.output import DONE, FAILED, PARTLY, emit, say, show
from deploy.score import alert_rows, read_points, score_rows
from storage.errors import InvalidInput

NAMED_ROWS = 20
"""So many refused rows of a file are named one by one; of the rest the number is said."""


def register(app: cyclopts.App) -> None:
    """Add the command."""
    app.command(score)


def score(
    *series: Path,
    time: str = "timestamp",
    value: str = "value",
    alerts: bool = False,
    json: bool = False,
) -> int:
    """Score each row of CSV files by how strange it is after the rows before it.

    Each file is one series, its rows in order of time. A score is -log p: 5.3 is about one row in
    200; it has no upper end. Nothing has to be set for a series. A row that cannot be read has the
    score 0. Ends with 0 = all was read, 3 = some rows or files were refused, each named.

    Parameters
    ----------
    series
        CSV files with a header line, plain or gzip.
    time
        the column with the time: ISO 8601 (no zone: UTC) or seconds since 1970.
    value
        the column with the number.
    alerts
        print one line per onset of something unusual, with its reason, not one per row.
    json
        print one JSON object a line.
    """
    if not series:
        raise InvalidInput("name at least one CSV file")
    refused = 0
    for file in series:
        complaints = _Complaints(file)
        try:
            points = read_points(file, time, value, complaints.add)
            _print((alert_rows if alerts else score_rows)(file, points), json=json)
        except BrokenPipeError:
            raise
        except (InvalidInput, OSError) as wrong:
            say(f"{file}: {wrong}")
            refused += 1
        refused += complaints.end()
    if not refused:
        return DONE
    return PARTLY if any(file.exists() for file in series) else FAILED


class _Complaints:
    """Name the first refused rows of a file and count the others."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows = 0

    def add(self, line: int, reason: str) -> None:
        self._rows += 1
        if self._rows <= NAMED_ROWS:
            say(f"{self._file} line {line}: {reason}")

    def end(self) -> int:
        if self._rows > NAMED_ROWS:
            say(f"{self._file}: {self._rows - NAMED_ROWS:,} more rows were refused")
        return self._rows


def _print(rows: Iterator[dict[str, object]], *, json: bool) -> None:
    for row in rows:
        if json:
            emit(row)
        else:
            score = f"{row['score']:8.3f}"
            show("  ".join(str(v) for v in {**row, "score": score}.values()))
