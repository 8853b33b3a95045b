"""What every parser in the folder must keep; `test_parser_conformance.py` runs it over all.

A parser FORMAT has the folder `tests/samples/FORMAT/`: one sample, README.md saying where it is
from, expected.json with the rows. To write expected.json anew after a wanted change (then read the
difference): `python -m tests.pipelines.parser_conformance FORMAT...`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsing import parser_named
from tests.shared import shared_data

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
FROM_SHARED: Final = {"evtx": "evtx"}
"""Formats whose samples only real machines make: FORMAT -> shared data with such files."""

UNSPOKEN: Final = ("raw_data", "metadata.log_format", "metadata.product.name")


def sample_file(format: str) -> Path:
    """Find the sample of that format, in the project or (skipping without it) in shared data."""
    if format in FROM_SHARED:
        files = shared_data(FROM_SHARED[format]).rglob(f"*.{format}")
        return min(files, key=lambda path: (path.stat().st_size, path.name))
    folder = SAMPLES / format
    found = [p for p in folder.glob("*") if p.name not in ("README.md", "expected.json")]
    assert len(found) == 1, f"{folder.name} needs exactly one sample beside README.md"
    return found[0]


@cache
def sample(format: str) -> bytes:
    """Read the sample of that format."""
    return sample_file(format).read_bytes()


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """Cut data at these places."""
    last = 0
    for place in [*sorted(places), len(data)]:
        yield data[last:place]
        last = place


def whole(parts: Iterable[Parsed]) -> tuple[list[dict[str, Any]], list[Reject]]:
    """Put all that a parser yields together: rows without nulls, and rejects, by position."""
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for part in parts:
        rows += ({k: v for k, v in row.items() if v is not None} for row in part.frame.to_dicts())
        rejects += part.rejects
    return sorted(rows, key=lambda row: int(row["position"])), sorted(rejects)


def moved(part: Parsed, first: int) -> Parsed:
    """Count positions from `first`."""
    frame = part.frame.with_columns(pl.col("position") + first)
    return Parsed(frame, [r._replace(position=r.position + first) for r in part.rejects])


def expected_rows(format: str, data: bytes) -> list[dict[str, Any]]:
    """Say in JSON's words what the sample gives: events, then refused records with the reason."""
    rows, rejects = whole(parser_named(format).parse([data]))
    said = [
        {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in rows
    ]
    events = [{k: v for k, v in row.items() if k not in UNSPOKEN} for row in said]
    return events + [{"position": r.position, "reject": r.reason} for r in rejects]


def write_expected(format: str) -> Path:
    """Write expected.json beside the sample, one row a line."""
    rows = expected_rows(format, sample(format))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    place = SAMPLES / format / "expected.json"
    place.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return place


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{write_expected(name).relative_to(SAMPLES)}\n")
