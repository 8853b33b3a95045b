"""Learn who sits at an address: the host that reports from it and the person at its desktop."""

from typing import Final

import polars as pl

from detectors._columns import account, filled, time_us

SEATS: Final[dict[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "host": pl.String(),
    "user": pl.String(),
    "last_us": pl.Int64(),
}
"""State table: `key` = address, `user` = '' while nobody was seen at the desktop."""

CLASSES: Final = frozenset({1007, 3002})
HOUR_US: Final = 3_600_000_000
_DESKTOP: Final = (2, 7, 10, 11)
_OWN: Final = ["tenant_id", "key"]


def sitting(frame: pl.DataFrame) -> pl.DataFrame:
    """Give what the rows tell of seats: `SEATS` and `row`, in the order of the rows."""
    frame = filled(
        frame,
        *("device.ip", "device.hostname", "user.name", "actor.user.name", "logon_type_id"),
        *("status_id", "process.parent_process.file.path"),
    ).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    signed_in = (pl.col("class_uid") == 3002) & (pl.col("status_id") == 1)
    signed_in &= pl.col("logon_type_id").is_in(_DESKTOP)
    parent = pl.col("process.parent_process.file.path").str.to_lowercase()
    started = (pl.col("class_uid") == 1007) & parent.str.ends_with("explorer.exe")
    user = (
        pl.when(signed_in)
        .then(account("user.name"))
        .when(started)
        .then(account("actor.user.name"))
        .otherwise(pl.lit(""))
    )
    return frame.filter(
        pl.col("class_uid").is_in(list(CLASSES))
        & pl.col("device.ip").is_not_null()
        & pl.col("device.hostname").is_not_null()
    ).select(
        "tenant_id",
        key=pl.col("device.ip").str.to_lowercase().str.slice(0, 64),
        host=pl.col("device.hostname").str.to_lowercase().str.slice(0, 255),
        user=user.fill_null(""),
        last_us=time_us(),
        row=pl.col("row"),
    )


def learned(table: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Give the seats after these rows; somebody at the desktop stays until another comes."""
    if fresh.is_empty():
        return table
    every = pl.concat([table, fresh.select(table.columns)])
    named = every.filter(pl.col("user") != "").unique(_OWN, keep="last", maintain_order=True)
    after = (
        every.drop("user")
        .unique(_OWN, keep="last", maintain_order=True)
        .join(named.select(*_OWN, "user"), on=_OWN, how="left")
        .with_columns(pl.col("user").fill_null(""))
        .select(table.columns)
        .sort(_OWN)
    )
    return table if after.equals(table) else after


def seated(
    rows: pl.DataFrame, address: str, table: pl.DataFrame, batch: pl.DataFrame
) -> pl.DataFrame:
    """Add `host` and `user` of the address column to a few rows (with `row`), as known by then."""
    if rows.is_empty():
        return rows.with_columns(
            pl.lit(None, pl.String()).alias("host"), pl.lit(None, pl.String()).alias("user")
        )
    every = pl.concat(
        [table.with_columns(row=pl.lit(-1, pl.Int64())), batch.select(*table.columns, "row")]
    ).select("tenant_id", "host", "user", address="key", told="row")
    found = (
        rows.select("tenant_id", "row", address=address)
        .join(every, on=["tenant_id", "address"])
        .filter(pl.col("told") <= pl.col("row"))
        .sort("told", maintain_order=True)
        .group_by("tenant_id", "row")
        .agg(
            pl.col("host").last(),
            pl.col("user").filter(pl.col("user") != "").last(),
        )
    )
    return rows.join(found, on=["tenant_id", "row"], how="left", maintain_order="left")
