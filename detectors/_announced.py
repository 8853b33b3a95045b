"""Know what was announced beforehand: what another person planned is no surprise.

An announcement is a fact of business (class 999022), told by a ticket system, a calendar, a plan:
`document.type` says of what kind (campaign, export, stock_count, trial), `document.uid` is its
number, `unmapped.subject` names what it is about, `user.name` who will act (absent: anybody),
`unmapped.starts_at` and `unmapped.ends_at` when, `unmapped.approved_by` who agreed.
"""

from typing import Final

import polars as pl

from detectors._columns import account, cut, filled, newest, time_us

ANNOUNCEMENT: Final = 999022
WITHDRAWN: Final = 4
TABLE: Final[dict[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "kind": pl.String(),
    "subject": pl.String(),
    "by": pl.String(),
    "who": pl.String(),
    "from_us": pl.Int64(),
    "until_us": pl.Int64(),
    "last_us": pl.Int64(),
}
"""State table: `key` = number of the announcement, `by` = who agreed to it."""

_OWN: Final = ["tenant_id", "key"]
_EVER: Final = 2**62


def announced(frame: pl.DataFrame, *kinds: str) -> pl.DataFrame:
    """Give what the rows announce of these kinds: `TABLE` and `row`, in the order of the rows."""
    frame = filled(
        frame,
        *("document.uid", "document.type", "user.name", "actor.user.name", "unmapped.subject"),
        *("unmapped.approved_by", "unmapped.starts_at", "unmapped.ends_at"),
    ).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    gone = pl.col("activity_id") == WITHDRAWN
    mine = frame.filter(
        (pl.col("class_uid") == ANNOUNCEMENT) & pl.col("document.type").is_in(list(kinds))
    )
    told = mine.select(
        "tenant_id",
        "row",
        key=cut("document.uid"),
        kind="document.type",
        subject=cut("unmapped.subject").str.to_lowercase(),
        by=account("unmapped.approved_by", "actor.user.name"),
        who=account("user.name"),
        from_us=pl.when(gone).then(_EVER).otherwise(_moment("unmapped.starts_at").fill_null(0)),
        until_us=_moment("unmapped.ends_at").fill_null(_EVER),
        last_us=time_us(),
    )
    return told.drop_nulls("key")


def learned(table: pl.DataFrame, fresh: pl.DataFrame, most_keys: int) -> pl.DataFrame:
    """Give the announcements as they stand after these; the last word on each counts."""
    if fresh.is_empty():
        return table
    every = pl.concat([table, fresh.select(table.columns)])
    last = every.unique(_OWN, keep="last", maintain_order=True)
    return newest(last, "last_us", most_keys).sort(_OWN)


def unexpected(acts: pl.DataFrame, table: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Give the acts that nobody else had announced by then.

    `acts`: tenant_id, row, actor, time_us, and `subjects`, a list of the names it may go by.
    """
    if acts.is_empty() or (table.is_empty() and fresh.is_empty()):
        return acts
    every = pl.concat(
        [table.with_columns(row=pl.lit(-1, pl.Int64())), fresh.select(*table.columns, "row")]
    ).select("tenant_id", "key", "subject", "by", "who", "from_us", "until_us", told="row")
    mine = (
        acts.select("tenant_id", "row", "actor", "time_us", "subjects")
        .join(every, on="tenant_id")
        .filter(pl.col("told") < pl.col("row"))
        .sort("told", maintain_order=True)
        .unique(["tenant_id", "row", "key"], keep="last", maintain_order=True)
        .filter(
            pl.col("time_us").is_between("from_us", "until_us")
            & pl.col("by").is_not_null()
            & pl.col("by").ne_missing(pl.col("actor"))
            & (pl.col("who").is_null() | pl.col("who").eq_missing(pl.col("actor")))
            & (pl.col("subject").is_not_null() | pl.col("who").is_not_null())
            & (pl.col("subject").is_null() | pl.col("subject").is_in(pl.col("subjects")))
        )
    )
    return acts.join(mine.select("tenant_id", "row"), on=["tenant_id", "row"], how="anti").sort(
        "row", maintain_order=True
    )


def _moment(name: str) -> pl.Expr:
    at = pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    return at.cast(pl.Int64)
