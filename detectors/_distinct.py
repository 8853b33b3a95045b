"""Count the different things that one key meets within a window of the clock.

State: of each key the first `most` different values of a window, some 150 bytes each; windows that
ended are dropped. A key crosses once a window: at the event that shows the `most`-th value.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import newest

TABLE: Final[dict[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "value": pl.String(),
    "window_us": pl.Int64(),
    "most": pl.Int64(),
    "time_us": pl.Int64(),
    "event_id": pl.String(),
}
"""State table: `window_us` = when the window begins."""
SHOWN: Final = 20
"""Events that a claim points to."""

_OWN: Final = ["tenant_id", "key", "window_us"]


def counted(
    table: pl.DataFrame, fresh: pl.DataFrame, size_us: int, watermark_us: int, max_keys: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the table with the new rows, and the keys that crossed, in the order of crossing.

    `fresh`: tenant_id, key, value, most, time_us, event_id, in the stream's order. Crossings:
    tenant_id, key, time_us and event_id of the crossing event, `first_us`, `values`, `event_ids`.
    """
    if fresh.is_empty():
        return table, _crossings(table.clear())
    new = fresh.with_columns(
        window_us=pl.col("time_us").floordiv(size_us) * size_us, row=pl.int_range(pl.len())
    )
    before = table.with_columns(row=pl.lit(-1, pl.Int64()))
    every = (
        pl.concat([before, new.select(before.columns)])
        .unique([*_OWN, "value"], keep="first", maintain_order=True)
        .with_columns(place=pl.int_range(1, pl.len() + 1).over(_OWN))
        .filter(pl.col("place") <= pl.col("most"))
    )
    crossed = every.filter((pl.col("place") == pl.col("most")) & (pl.col("row") >= 0))
    met = _crossings(every.join(crossed.select(_OWN), on=_OWN, how="semi"))
    kept = every.select(list(TABLE)).filter(pl.col("window_us") + 2 * size_us > watermark_us)
    return newest(kept, "time_us", max_keys).sort([*_OWN, "time_us", "event_id"]), met


def _crossings(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by(_OWN, maintain_order=True)
        .agg(
            pl.col("value").alias("values"),
            pl.col("event_id").alias("event_ids"),
            pl.col("time_us").min().alias("first_us"),
            pl.col("time_us").max(),
            pl.col("event_id").last(),
        )
        .sort("time_us", *_OWN)
    )


def some(values: list[Any], most: int = 5) -> str:
    """Write the first of many values.

    >>> some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(str(value) for value in values[:most])
    more = len(values) - most
    return f"{shown} and {more} more" if more > 0 else shown
