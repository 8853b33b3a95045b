"""Read events back from the manifest's files: as a lazy frame, or in order as batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import polars as pl

from storage.database import Database
from storage.lake.manifest import FIRST_US, LAST_US, live_files, live_files_at
from storage.lake.store import Listed, Store
from storage.schema import MAX_BATCH_ROWS, EventBatch, dtypes
from storage.schema.columns import ENVELOPE, TIME
from storage.tenant import Scope

_WINDOW_EVENTS: Final = 100_000
"""About how many events are sorted in memory at once while restoring."""
_WINDOW_US: Final = 1_000_000


def scan(
    store: Store,
    db: Database,
    scope: Scope,
    since_us: int,
    until_us: int,
    classes: Iterable[int] | None = None,
) -> pl.LazyFrame:
    """Give the scope's events with since <= time < until (UTC µs) as one lazy frame.

    Columns: the envelope, and whatever else any of the files has.
    """
    wanted = None if classes is None else list(classes)
    with db.app(scope) as tx:
        files = live_files(tx, scope.tenant_id, since_us, until_us, wanted)
    frame = _union(store, files, since_us, until_us)
    return frame if wanted is None else frame.filter(pl.col("class_uid").is_in(wanted))


def scan_at(
    store: Store,
    db: Database,
    scope: Scope,
    moments_us: Sequence[int],
    classes: Iterable[int] | None = None,
) -> pl.LazyFrame:
    """Give the scope's events from files that hold these moments (UTC µs, ± 2 ms), lazily.

    A few events far apart are in a few files; a scan from first to last would open all between.
    """
    wanted = None if classes is None else list(classes)
    with db.app(scope) as tx:
        files = live_files_at(tx, scope.tenant_id, moments_us, wanted)
    frame = _union(store, files, FIRST_US, LAST_US)
    return frame if wanted is None else frame.filter(pl.col("class_uid").is_in(wanted))


def _union(store: Store, files: Sequence[Listed], since_us: int, until_us: int) -> pl.LazyFrame:
    empty = pl.LazyFrame(schema=dtypes(*(column.name for column in ENVELOPE)))
    parts = [
        pl.scan_parquet(path, glob=False, hive_partitioning=False) for path in store.local(files)
    ]
    since = pl.lit(max(since_us, FIRST_US)).cast(TIME)
    until = pl.lit(min(until_us, LAST_US)).cast(TIME)
    return pl.concat([empty, *parts], how="diagonal").filter(
        (pl.col("time") >= since) & (pl.col("time") < until)
    )


def restore_batches(
    store: Store,
    db: Database,
    scope: Scope,
    since_us: int = FIRST_US,
    until_us: int = LAST_US,
    classes: Iterable[int] | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[EventBatch]:
    """Give the scope's events again in order of event time, in batches, for a replay.

    `columns`: which to read beside the envelope, as far as they are there; None = all. The list
    of files is taken once at the start; memory holds one time window, however long the history.
    """
    wanted = None if classes is None else list(classes)
    with db.app(scope) as tx:
        files = live_files(tx, scope.tenant_id, since_us, until_us, wanted)
    if not files:
        return
    first = max(since_us, min(f.first_time_us for f in files))
    last = min(until_us, max(f.last_time_us for f in files) + 1)
    for start, end in _windows(files, first, last):
        here = [f for f in files if _overlap_us(f, start, end) > 0]
        rows = _union(store, here, start, end)
        if wanted is not None:
            rows = rows.filter(pl.col("class_uid").is_in(wanted))
        if columns is not None:
            there = set(rows.collect_schema().names())
            rows = rows.select(*(c.name for c in ENVELOPE), *sorted(there & set(columns)))
        frame = rows.sort("time", "event_id").collect(engine="streaming")
        for at in range(0, frame.height, MAX_BATCH_ROWS):
            yield EventBatch.of(frame.slice(at, MAX_BATCH_ROWS))


def _overlap_us(file: Listed, start: int, end: int) -> int:
    return min(file.last_time_us + 1, end) - max(file.first_time_us, start)


def _windows(files: Sequence[Listed], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Halve the time until a window holds few enough events, as the manifest lets one guess."""
    here = [(f, _overlap_us(f, start, end)) for f in files]
    here = [(f, us) for f, us in here if us > 0]
    if not here:
        return
    guess = sum(f.events * us // (f.last_time_us - f.first_time_us + 1) for f, us in here)
    if guess <= _WINDOW_EVENTS or end - start <= _WINDOW_US:
        yield start, end
        return
    middle = (start + end) // 2
    inside = [f for f, _ in here]
    yield from _windows(inside, start, middle)
    yield from _windows(inside, middle, end)
