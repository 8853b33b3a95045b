"""Turn a stream of any known format into event batches; the boundary to third-party decoders.

What a parser yields is stamped with the rest of the envelope here. Whatever a decoder raises
becomes InvalidBatch, after what was good has been handed on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.parsers import CONTRACT, Reject
from pipelines.parsers._lines import blocks, utf8, with_heads
from storage.errors import InopsioError, InvalidBatch
from storage.identity import event_ids, event_ids_of, id_seed
from storage.plugins import discover
from storage.schema import CLASSES, MAX_BATCH_ROWS, EventBatch
from storage.schema.columns import TIME

AHEAD_US: Final = 5 * 60 * 1_000_000
NO_TIME: Final = "unmapped._time_missing"
_FIRST: Final = pl.lit(0, pl.Int64).cast(TIME)
_LAST: Final = pl.lit(7_258_118_400_000_000, pl.Int64).cast(TIME)
"""Years 1970 to 2199; what is outside is no time."""
_ODD_ADDRESS: Final = r"%|(?i)^::ffff:"
_MAPPED: Final = r"(?i)^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$"
_ZONE: Final = r"^([0-9A-Fa-f:.]+)%.*$"
_CATEGORY: Final = {c.class_uid: c.category_uid for c in CLASSES}


@cache
def parsers() -> Mapping[str, ModuleType]:
    """Give FORMAT -> parser module, for every parser found in the folder."""
    return {m.FORMAT: m for m in discover("pipelines.parsers", CONTRACT).values()}


def parser_named(format: str) -> ModuleType:
    """Give the parser of that FORMAT; InvalidBatch lists the known ones."""
    try:
        return parsers()[format]
    except KeyError:
        known = ", ".join(sorted(parsers()))
        raise InvalidBatch(
            f"format '{format}' is unknown; one of: {known}", format=format
        ) from None


def parse_stream(
    format: str,
    chunks: Iterable[bytes],
    *,
    tenant_id: str,
    source: str,
    name: str = "",
    ingested_at_us: int,
    first_position: int = 0,
) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Give batches of at most 8,192 checked events, each with the records refused on the way.

    `chunks`: the stream in pieces of any size, for example consecutive messages of one source;
    `first_position`: number of its first record. An event without a time between 1970 and 2199
    keeps its place: time = arrival, and `unmapped._time_missing` = 'true'. One whose time is over
    five minutes ahead of arrival gets time = arrival and `is_time_clamped`. InvalidBatch when the
    rest cannot be read, never another error.
    """
    module = parser_named(format)
    label = name or source
    resolve = getattr(module, "resolve_times", None)
    try:
        for found in module.parse(chunks):
            rejects = [r._replace(position=r.position + first_position) for r in found.rejects]
            for start in range(0, max(found.frame.height, 1), MAX_BATCH_ROWS):
                part = found.frame.slice(start, MAX_BATCH_ROWS)
                if resolve is not None:
                    part = resolve(part, ingested_at_us)
                batch = stamp(
                    part,
                    tenant_id=tenant_id,
                    source=source,
                    format=format,
                    ingested_at_us=ingested_at_us,
                    first_position=first_position,
                )
                yield batch, rejects if start == 0 else []
    except InvalidBatch as wrong:
        raise InvalidBatch(f"{label}: {wrong}", format=format, row=wrong.row) from wrong
    except InopsioError:
        raise
    except Exception as wrong:  # the parser boundary: third-party decoders raise anything
        reason = f"{label}: cannot be read as {format}: {type(wrong).__name__}: {str(wrong)[:300]}"
        raise InvalidBatch(reason, format=format) from wrong


def stamp(
    frame: pl.DataFrame,
    *,
    tenant_id: str,
    source: str,
    format: str,
    ingested_at_us: int,
    first_position: int = 0,
) -> EventBatch:
    """Complete a parser's frame to a batch: ids, times, tenant, source, category and type.

    `frame`: `position`, `time` (may have nulls or be absent), `class_uid`, any other columns.
    InvalidBatch names a column that a parser got wrong.
    """
    arrival = pl.lit(ingested_at_us, pl.Int64)
    place = pl.col("position").cast(pl.Int64) + first_position
    whose = (pl.lit(tenant_id), pl.lit(source))
    frame = _completed(frame, *whose, arrival, place, format)
    ids = event_ids(tenant_id, source, frame["time"].cast(pl.Int64), frame.get_column("position"))
    return EventBatch.of(frame.with_columns(ids.alias("event_id")))


@dataclass(frozen=True, slots=True)
class Origins:
    """Say of numbered messages whose they are and when they came, as columns.

    `seeds`: what the ids of each one's events are derived from.
    """

    tenant_id: pl.Series
    source: pl.Series
    arrived_us: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]], arrived_us: Sequence[int]) -> "Origins":
        """Put (tenant, source) and arrival (UTC µs) of each message together."""
        seeds = {pair: id_seed(*pair) for pair in set(pairs)}
        return cls(
            pl.Series([tenant for tenant, _ in pairs], dtype=pl.String),
            pl.Series([source for _, source in pairs], dtype=pl.String),
            np.array(arrived_us, dtype=np.int64),
            np.array([seeds[pair] for pair in pairs], dtype=np.uint64),
        )


def stamp_rows(
    frame: pl.DataFrame,
    origins: Origins,
    whose: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    format: str,
) -> EventBatch:
    """Complete a parser's frame as `stamp` does, where each row has an origin of its own.

    `whose`: the row's message, by its number in `origins`; `position`: the row's own.
    """
    tenant_id, source = origins.tenant_id[whose], origins.source[whose]
    arrival = pl.lit(pl.Series(origins.arrived_us[whose]))
    place = pl.lit(pl.Series(position))
    frame = _completed(frame, pl.lit(tenant_id), pl.lit(source), arrival, place, format)
    ids = event_ids_of(origins.seeds[whose], frame["time"].cast(pl.Int64), frame["position"])
    return EventBatch.of(frame.with_columns(ids.alias("event_id")))


def _completed(
    frame: pl.DataFrame,
    tenant_id: pl.Expr,
    source: pl.Expr,
    arrived_us: pl.Expr,
    position: pl.Expr,
    format: str,
) -> pl.DataFrame:
    has = set(frame.columns)
    arrival = arrived_us.cast(TIME)
    time = pl.col("time").cast(TIME) if "time" in has else pl.lit(None, TIME)
    time = pl.when(time.is_between(_FIRST, _LAST)).then(time)
    ahead = (time > (arrived_us + AHEAD_US).cast(TIME)).fill_null(value=False)
    known = pl.coalesce(pl.when(~ahead).then(time), arrival)

    def kept(column: str, dtype: pl.DataType, default: int) -> pl.Expr:
        return (
            pl.col(column).cast(dtype).fill_null(default)
            if column in has
            else pl.lit(default, dtype)
        )

    class_uid = kept("class_uid", pl.Int32(), 0)
    activity = kept("activity_id", pl.Int32(), 0)
    missing = time.is_null()
    frame = frame.with_columns(*_sane(frame)).with_columns(
        tenant_id.alias("tenant_id"),
        known.alias("time"),
        arrival.alias("ingested_at"),
        source.alias("source"),
        position.alias("position"),
        pl.lit(value=False).alias("is_late"),
        ahead.alias("is_time_clamped"),
        class_uid.replace_strict(_CATEGORY, default=0, return_dtype=pl.Int32).alias("category_uid"),
        class_uid.alias("class_uid"),
        activity.alias("activity_id"),
        (class_uid.cast(pl.Int64) * 100 + activity).alias("type_uid"),
        kept("severity_id", pl.Int32(), 1).alias("severity_id"),
        pl.lit(format).alias("metadata.log_format"),
        _text_or(has, "metadata.product.name", format),
        missing.alias("_missing"),
    )
    if NO_TIME in has or frame.get_column("_missing").any():
        flag = pl.when(pl.col("_missing")).then(pl.lit("true")).alias(NO_TIME)
        frame = frame.with_columns(flag)
    return frame.drop("_missing")


def _sane(frame: pl.DataFrame) -> list[pl.Expr]:
    """Null numbers that no port or process has; write addresses so that equal ones are equal.

    An IPv4 address mapped into IPv6 is that IPv4 address; a zone (`%eth0`) is one host's own word.
    """
    sane: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if name.endswith("_endpoint.port") and dtype.is_integer():
            sane.append(pl.when(column.is_between(0, 65_535)).then(column).alias(name))
        elif name.endswith("process.pid") and dtype.is_integer():
            sane.append(pl.when(column >= 0).then(column).alias(name))
        elif name.endswith(("_endpoint.ip", "device.ip")) and dtype == pl.String:
            text = frame.get_column(name)
            if text.str.contains(_ODD_ADDRESS).any():
                plain = column.str.replace(_MAPPED, "$1").str.replace(_ZONE, "$1")
                sane.append(plain.alias(name))
    return sane


def _text_or(has: set[str], column: str, default: str) -> pl.Expr:
    expr = pl.col(column).fill_null(default) if column in has else pl.lit(default)
    return expr.alias(column)


def split_stream(
    format: str, chunks: Iterable[bytes], max_bytes: int = 1 << 20
) -> Iterator[tuple[int, bytes]]:
    """Cut a stream into messages that can be parsed alone: (number of the first record, bytes).

    Give that number as `first_position` when parsing the message. A message has about `max_bytes`,
    more only where one record has. A line over 1 MiB travels as its first 64 KiB, which the parser
    then refuses. InvalidBatch when the rest cannot be cut, never another error.
    """
    module = parser_named(format)
    try:
        own = getattr(module, "split", None)
        yield from own(chunks, max_bytes) if own else _split_lines(chunks, max_bytes)
    except InopsioError:
        raise
    except Exception as wrong:  # the parser boundary: third-party decoders raise anything
        reason = f"cannot be cut as {format}: {type(wrong).__name__}: {str(wrong)[:300]}"
        raise InvalidBatch(reason, format=format) from wrong


def _split_lines(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    for block in blocks(utf8(chunks), max_lines=1 << 30, max_bytes=max_bytes):
        yield block.position, with_heads(block)
