"""Run a person's SQL over the lake for the screen: audited, bounded, cut to what a grid shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from storage.audit import write_audit
from storage.database import Database
from storage.lake import Lake
from storage.lake.hunt import HuntLimits
from storage.tenant import Scope

MOST_ROWS: Final = 1000
LONGEST_CELL: Final = 1000
MOST_CHARACTERS: Final = 600_000
"""Of all cells together: what a page may weigh."""
BUCKETS: Final = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the answer as texts: `said` tells what was cut, '' if nothing."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    said: str
    files: int
    elapsed_ms: int
    is_sandboxed: bool
    times: tuple[datetime, ...]
    time_column: str


def ask(database: Database, lake: Lake, scope: Scope, sql: str) -> Answer:
    """Run one SELECT; InvalidInput says what is wrong with it or which limit it passed."""
    scope.require("hunt:run")
    with database.app(scope) as tx:
        write_audit(tx, scope, "hunt.run", detail={"sql": sql[:2000]})
    found = lake.hunt(database, scope, sql, HuntLimits(rows=MOST_ROWS))
    clocks = {i for i, kind in enumerate(found.types) if "TIMESTAMP" in kind.upper()}
    rows, cut = _texts(found.rows, clocks)
    said = found.truncated
    if cut:
        said = f"only the first {len(rows):,} rows are shown: more would be too heavy for a page"
    at = min(clocks, default=None)
    return Answer(
        columns=found.columns,
        rows=rows,
        said=said,
        files=found.files,
        elapsed_ms=found.elapsed_ms,
        is_sandboxed=found.is_sandboxed,
        times=() if at is None else _times(found.rows, at),
        time_column="" if at is None else found.columns[at],
    )


def _texts(rows: Sequence[Sequence[object]], clocks: set[int]) -> tuple[list[list[str]], bool]:
    shown: list[list[str]] = []
    weight = 0
    for row in rows:
        texts = ["" if value is None else str(value)[:LONGEST_CELL] for value in row]
        texts = [t.removesuffix("+00:00") if i in clocks else t for i, t in enumerate(texts)]
        weight += sum(map(len, texts))
        if weight > MOST_CHARACTERS and shown:
            return shown, True
        shown.append(texts)
    return shown, False


def _times(rows: Sequence[Sequence[object]], at: int) -> tuple[datetime, ...]:
    found: list[datetime] = []
    for row in rows:
        try:
            told = datetime.fromisoformat(str(row[at]))
        except ValueError:
            continue
        found.append(told if told.tzinfo else told.replace(tzinfo=UTC))
    return tuple(sorted(found))


def buckets(times: Sequence[datetime]) -> list[tuple[datetime, int]]:
    """Count the times in at most BUCKETS equal steps: (begin, count)."""
    if not times:
        return []
    first, span = times[0], times[-1] - times[0]
    if not span:
        return [(first, len(times))]
    counts = [0] * BUCKETS
    for at in times:
        counts[min(int((at - first) / span * BUCKETS), BUCKETS - 1)] += 1
    return [(first + span / BUCKETS * i, count) for i, count in enumerate(counts)]


def grid_rows(answer: Answer) -> list[dict[str, Any]]:
    """Give the rows with plain field names: a column's own name may hold anything."""
    return [{f"c{i}": text for i, text in enumerate(row)} for row in answer.rows]
