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
WORDS: Final = 4
"""Words kept on one announcement: made, approved, withdrawn; each counts from its own time."""
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


def announced(
    frame: pl.DataFrame, table: pl.DataFrame, most_keys: int, *kinds: str
) -> pl.DataFrame:
    """Give `TABLE` with what the rows announce of these kinds: the last words on each."""
    frame = filled(
        frame,
        *("document.uid", "document.type", "user.name", "actor.user.name", "unmapped.subject"),
        *("unmapped.approved_by", "unmapped.starts_at", "unmapped.ends_at"),
    )
    mine = frame.filter(
        (pl.col("class_uid") == ANNOUNCEMENT) & pl.col("document.type").is_in(list(kinds))
    )
    if mine.is_empty():
        return table
    gone = pl.col("activity_id") == WITHDRAWN
    fresh = mine.select(
        "tenant_id",
        key=cut("document.uid"),
        kind="document.type",
        subject=cut("unmapped.subject").str.to_lowercase(),
        by=account("unmapped.approved_by", "actor.user.name"),
        who=account("user.name"),
        from_us=pl.when(gone).then(_EVER).otherwise(_moment("unmapped.starts_at").fill_null(0)),
        until_us=_moment("unmapped.ends_at").fill_null(_EVER),
        last_us=time_us(),
    ).drop_nulls("key")
    words = pl.concat([table, fresh]).sort([*_OWN, "last_us"], maintain_order=True)
    few = words.filter(pl.int_range(pl.len(), 0, -1).over(_OWN) <= WORDS)
    return newest(few, "last_us", most_keys)


def unexpected(acts: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give the acts that nobody else had announced by then, by the times of both.

    `acts`: tenant_id, actor, time_us, and `subjects`, a list of the names it may go by.
    """
    if acts.is_empty() or table.is_empty():
        return acts
    numbered = acts.with_row_index("act_no")
    expected = (
        numbered.select("tenant_id", "act_no", "actor", "time_us", "subjects")
        .join(table.rename({"last_us": "told_us"}), on="tenant_id")
        .filter(pl.col("told_us") < pl.col("time_us"))
        .sort("told_us", maintain_order=True)
        .unique(["act_no", "key"], keep="last", maintain_order=True)
        .filter(
            pl.col("time_us").is_between("from_us", "until_us")
            & pl.col("by").is_not_null()
            & pl.col("by").ne_missing(pl.col("actor"))
            & (pl.col("who").is_null() | pl.col("who").eq_missing(pl.col("actor")))
            & (pl.col("subject").is_not_null() | pl.col("who").is_not_null())
            & (pl.col("subject").is_null() | pl.col("subject").is_in(pl.col("subjects")))
        )
    )
    left = numbered.join(expected.select("act_no").unique(), on="act_no", how="anti")
    return left.sort("act_no").drop("act_no")


def _moment(name: str) -> pl.Expr:
    at = pl.col(name).str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
    return at.cast(pl.Int64)
