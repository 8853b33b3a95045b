"""Tell each thing of a key once a day, and only so many of one key in a day."""

from typing import Final

import polars as pl

from detectors._columns import newest

DAILY: Final = {"tenant_id": pl.String(), "key": pl.String(), "day": pl.Int64()}
"""Columns with which the state table of such a detector begins."""
_OWN: Final = list(DAILY)


def once_a_day(
    told: pl.DataFrame, rows: pl.DataFrame, what: str, most: int, most_keys: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the rows not told yet on their day, in the stream's order, and the table with them.

    `told`: columns of `DAILY` and `what`; `rows`: those and any more, in the stream's order; at
    most `most` rows of a key and day are told. Two days of a key are kept, of `most_keys` keys.
    """
    one = [*_OWN, what]
    fresh = rows.unique(one, keep="first", maintain_order=True).join(told, on=one, how="anti")
    before = told.group_by(_OWN).agg(_before=pl.len())
    place = pl.col("_before").fill_null(0) + pl.int_range(pl.len()).over(_OWN)
    fresh = fresh.join(before, on=_OWN, how="left", maintain_order="left").filter(place < most)
    kept = pl.concat([told, fresh.select(told.columns)])
    is_late = pl.col("day") < pl.col("day").max().over("tenant_id", "key") - 1
    return fresh, newest(kept.filter(~is_late), "day", most_keys).sort(one)
