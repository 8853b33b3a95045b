"""Put files that are sorted by time into one, by row groups: memory holds what overlaps in time."""

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import Unavailable
from storage.lake.files import ROW_GROUP
from storage.schema.columns import column_named

_ORDER: Final = ["time", "event_id"]
_UNIQUE: Final = frozenset({"event_id", "time", "ingested_at", "position", "process.uid"})
"""Columns in which a dictionary would only cost."""


class _Input:
    """Read one file's row groups one after the other."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self._next = 0
        meta = self._file.metadata
        column = self._file.schema_arrow.names.index("time")
        self._starts = [
            meta.row_group(i).column(column).statistics.min_raw for i in range(meta.num_row_groups)
        ]
        self.schema: dict[str, pl.DataType] = dict(pl.read_parquet_schema(path))

    @property
    def next_us(self) -> int | None:
        """Give the first time of the next row group, None at the end."""
        return self._starts[self._next] if self._next < len(self._starts) else None

    def take(self) -> pl.DataFrame:
        """Read the next row group."""
        table = self._file.read_row_group(self._next)
        self._next += 1
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table gives a frame
        return frame


def merge_files(paths: Sequence[Path], to: Path) -> tuple[int, int, int]:
    """Write all rows, sorted by time and id, to a new file; give rows, first and last time (µs).

    Every input is sorted by time. Unavailable if one cannot be read or the output not be written.
    """
    try:
        inputs = [_Input(path) for path in paths]
        schema = _schema_of(inputs)
        rows, first, last = 0, None, None
        with pq.ParquetWriter(
            to,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[n for n in schema.names if n not in _UNIQUE],
            store_schema=False,
        ) as writer:
            for frame in _groups(_in_order(inputs, schema.names)):
                writer.write_table(_arrow(frame, schema), row_group_size=ROW_GROUP)
                times = frame.get_column("time").dt.epoch("us")
                first = int(times[0]) if first is None else first
                last = int(times[-1])
                rows += frame.height
    except (OSError, ValueError, pa.ArrowException, pl.exceptions.PolarsError) as e:
        raise Unavailable(f"a file of the lake cannot be read or merged: {e}") from e
    if first is None or last is None:
        raise Unavailable("the files of the lake to merge are empty")
    return rows, first, last


def _schema_of(inputs: Sequence[_Input]) -> pa.Schema:
    kinds: dict[str, pl.DataType] = {}
    for one in inputs:
        for name, kind in one.schema.items():
            known = column_named(name)
            kinds.setdefault(name, known.dtype if known else kind)
    return pl.DataFrame(schema=kinds).to_arrow(compat_level=pl.CompatLevel.oldest()).schema


def _arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)


def _in_order(inputs: Sequence[_Input], names: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Give sorted pieces: what is older than everything that was not read yet is final."""
    waiting = [(us, i) for i, one in enumerate(inputs) if (us := one.next_us) is not None]
    heapq.heapify(waiting)
    held: list[pl.DataFrame] = []
    while waiting:
        _, i = waiting[0]
        held.append(inputs[i].take())
        after = inputs[i].next_us
        if after is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (after, i))
        if waiting and sum(len(frame) for frame in held) < ROW_GROUP:
            continue
        bound = waiting[0][0] if waiting else None
        yield from _cut(held, bound, names)


def _cut(
    held: list[pl.DataFrame], bound: int | None, names: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Give the held rows before the bound, keep the others."""
    frame = pl.concat(held, how="diagonal").sort(_ORDER)
    done = frame.height
    if bound is not None:
        done = int(frame.get_column("time").dt.epoch("us").search_sorted(bound, "left"))
    held[:] = [frame.slice(done)] if done < frame.height else []
    if done:
        missing = [n for n in names if n not in frame.columns]
        ready = frame.slice(0, done).with_columns(pl.lit(None).alias(n) for n in missing)
        yield ready.select(names)


def _groups(pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Give the pieces again, each as long as a row group, the last excepted."""
    held: list[pl.DataFrame] = []
    rows = 0
    for piece in pieces:
        held.append(piece)
        rows += piece.height
        if rows < ROW_GROUP:
            continue
        frame = pl.concat(held, how="vertical_relaxed")
        whole = rows // ROW_GROUP * ROW_GROUP
        yield frame.slice(0, whole)
        held, rows = [frame.slice(whole)], rows - whole
    if rows:
        yield pl.concat(held, how="vertical_relaxed")
