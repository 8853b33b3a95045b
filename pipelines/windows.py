"""Count events per entity and window, as columns: partial counts that the ledger adds up.

Counts are added in the transaction that moves the offset, so an event that comes late corrects its
window by the same upsert, and no window has to be held in memory until it is complete.
"""

from typing import Final

import polars as pl

ENTITIES: Final[tuple[tuple[str, str], ...]] = (
    ("host", "device.hostname"),
    ("user", "actor.user.name"),
    ("ip", "src_endpoint.ip"),
    ("domain", "query.hostname"),
    ("vendor", "vendor.uid"),
)
"""Which column names an entity of which type."""

WINDOW_S: Final = 60
"""Width of the windows that the flow counts; the ledger makes hours and days of them."""

SCHEMA: Final[dict[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "entity_type": pl.String(),
    "entity": pl.String(),
    "class_uid": pl.Int32(),
    "window_start": pl.Datetime("us", "UTC"),
    "window_s": pl.Int32(),
    "events": pl.Int64(),
}

_KEYS: Final = [name for name in SCHEMA if name != "events"]


def count_windows(frame: pl.DataFrame, window_s: int) -> pl.DataFrame:
    """Count the frame's events per tenant, entity, class and window of `window_s` seconds.

    Windows begin at multiples of `window_s` since 1970. Gives `SCHEMA`, one row a window that has
    events, sorted by its key so that writers take row locks in one order.
    """
    start = pl.col("time").dt.truncate(f"{window_s}s").alias("window_start")
    parts = [
        frame.lazy()
        .filter(pl.col(column).is_not_null())
        .group_by("tenant_id", pl.col(column).alias("entity"), "class_uid", start)
        .agg(pl.len().cast(pl.Int64).alias("events"))
        .with_columns(
            pl.lit(kind).alias("entity_type"), pl.lit(window_s, pl.Int32).alias("window_s")
        )
        .select(list(SCHEMA))
        for kind, column in ENTITIES
        if column in frame.columns
    ]
    if not parts:
        return pl.DataFrame(schema=SCHEMA)
    return pl.concat(pl.collect_all(parts)).sort(_KEYS)


def add_counts(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Add partial counts up; the order of the parts does not matter."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return pl.DataFrame(schema=SCHEMA)
    whole = pl.concat(parts).group_by(_KEYS).agg(pl.col("events").sum())
    return whole.select(list(SCHEMA)).sort(_KEYS)
