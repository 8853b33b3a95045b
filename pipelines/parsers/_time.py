"""Read times as sources write them: ISO 8601 in its many forms, or numbers since 1970."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from storage.schema.columns import TIME

_SECONDS_END: Final = 100_000_000_000
_MILLIS_END: Final = 100_000_000_000_000
_MICROS_END: Final = 100_000_000_000_000_000
_END_US: Final = 7_258_118_400_000_000


def parse_times(candidates: Sequence[pl.Series], height: int) -> pl.Series:
    """Give `time` (us UTC): in each row the first candidate that can be read, else null.

    A time without zone is taken as UTC; years outside 1970-2199 count as unreadable.

    >>> parse_times([pl.Series(["2020-01-01T00:00:00.5Z", "1577836800.5", "soon"])], 3)[1].year
    2020
    """
    found = pl.Series("time", [None] * height, dtype=TIME)
    for texts in candidates:
        if not found.null_count():
            break
        read = _read(texts)
        found = read if found.null_count() == height else found.zip_with(found.is_not_null(), read)
    return found.alias("time")


def _read(texts: pl.Series) -> pl.Series:
    frame = texts.alias("t").to_frame()
    text = pl.col("t").str.replace("T", " ", literal=True)
    zone = pl.col("t").str.contains(r"[+-]\d\d:?\d\d$")
    naive = pl.when(~zone).then(text.str.strip_suffix("Z").str.strip_suffix(" UTC"))
    plain = naive.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sane = pl.col("time").is_between(pl.lit(0).cast(TIME), pl.lit(_END_US).cast(TIME))
    out = frame.select("t", plain.dt.replace_time_zone("UTC").alias("time"), zone.alias("zone"))
    if out.get_column("zone").any():
        with_zone = (
            pl.when("zone")
            .then(text)
            .str.to_datetime(
                "%Y-%m-%d %H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False
            )
        )
        out = out.with_columns(pl.coalesce("time", with_zone).alias("time"))
    if out.get_column("time").null_count() > texts.null_count():
        out = out.with_columns(pl.coalesce("time", _since_1970()).alias("time"))
    return out.select(pl.when(sane).then("time").alias("time")).to_series()


def _since_1970() -> pl.Expr:
    value = pl.col("t").cast(pl.Float64, strict=False)
    whole = pl.col("t").cast(pl.Int64, strict=False)
    us = (
        pl.when(value < _SECONDS_END)
        .then((value * 1_000_000).round())
        .when(value < _MILLIS_END)
        .then((value * 1_000).round())
        .when(value < _MICROS_END)
        .then(value)
    )
    exact = pl.when(whole >= _MICROS_END).then(whole // 1000).when(whole >= _MILLIS_END).then(whole)
    return pl.coalesce(exact, us.cast(pl.Int64, strict=False)).cast(TIME)
