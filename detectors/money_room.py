"""Signal files of the books' documents that are rewritten with an ending nobody gives a document.

It says what money lies on a machine that is being encrypted: the file's name carries the number of
an invoice, a payment or an item. Beside the claims of the rewriting itself (`mass_rewrite`).
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, account, claim, cut, filled, newest, pairs, time_us
from detectors._daily import DAILY, once_a_day
from detectors._endings import is_unusual
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FILE: Final = 1001
BOOKS: Final = {999001: "document", 999002: "document", 999004: "item"}
"""Class of a fact -> kind of entity that its number names."""
MOST: Final = 20
"""Documents told of one machine in a day."""

META: Final = DetectorMeta(
    name="money_room",
    version="1",
    title="Documents of the books rewritten",
    classes=frozenset({FILE, *BOOKS}),
    tables={
        "papers": {
            **dict.fromkeys(("tenant_id", "key", "kind", "uid", "event_id"), pl.String()),
            "last_us": pl.Int64(),
        },
        "told": {**DAILY, "uid": pl.String()},
    },
    max_keys=50_000,
    bytes_per_key=200,
)

_OWN: Final = ["tenant_id", "key"]
_NUMBER: Final = r"^([A-Za-z0-9]{1,12}(?:[-_][A-Za-z0-9]{1,20}){1,4})(?:[^A-Za-z0-9_-]|$)"


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Learn the numbers of the books; tell those that name a rewritten file."""
    del context
    frame = filled(
        batch.frame,
        *("document.uid", "item.uid", "file.path", "device.hostname", "device.ip"),
        *("actor.user.name", "user.name"),
    ).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64), time_us=time_us())
    papers = _papers(frame, state["papers"])
    met = (
        _written(frame)
        .join(papers.rename({"row": "known", "event_id": "paper"}), on=_OWN, maintain_order="left")
        .filter(pl.col("known") < pl.col("row"))
        .with_columns(key=pl.col("host"))
    )
    fresh, told = once_a_day(state["told"], met, "uid", MOST, META.max_keys)
    after = {
        "papers": newest(papers.drop("row"), "last_us", META.max_keys).sort(_OWN),
        "told": told,
    }
    same = {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}
    return same, [_claim(row) for row in fresh.iter_rows(named=True)]


def _papers(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    uid = pl.when(pl.col("class_uid") == 999004).then("item.uid").otherwise("document.uid")
    fresh = (
        frame.filter(pl.col("class_uid").is_in(list(BOOKS)))
        .with_columns(uid=uid)
        .select(
            *("tenant_id", "event_id", "row"),
            key=cut("uid").str.to_lowercase(),
            kind=pl.col("class_uid").replace_strict(BOOKS, return_dtype=pl.String),
            uid=cut("uid"),
            last_us="time_us",
        )
        .drop_nulls("key")
    )
    before = table.with_columns(row=pl.lit(-1, pl.Int64()))
    if fresh.is_empty():
        return before
    return pl.concat([before, fresh.select(before.columns)]).unique(
        _OWN, keep="first", maintain_order=True
    )


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    name = pl.col("file.path").str.extract(r"([^\\/]{1,255})$", 1)
    return (
        frame.filter((pl.col("class_uid") == FILE) & pl.col("activity_id").is_in([1, 3, 5]))
        .select(
            *("tenant_id", "event_id", "row", "time_us"),
            host=pl.coalesce("device.hostname", "device.ip").str.to_lowercase().str.slice(0, 255),
            user=account("actor.user.name", "user.name"),
            path=pl.col("file.path"),
            key=name.str.extract(_NUMBER, 1).str.to_lowercase(),
            ending=name.str.extract(r"\.([^.\s]{1,40})$", 1).str.to_lowercase(),
            day=pl.col("time_us").floordiv(DAY_US),
        )
        .drop_nulls(["host", "key", "ending"])
        .filter(is_unusual("ending"))
    )


def _claim(row: dict[str, Any]) -> Finding:
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['host']}\x1f{row['uid']}\x1f{row['day']}",
        title=f"File of {row['uid']} on {row['host']} rewritten as .{row['ending']}",
        # Never grave: what it names is in danger, not in doubt, and is not to be held.
        level="low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="host",
        entity=row["host"],
        event_ids=(row["paper"], row["event_id"]),
        event_count=2,
        reasons=(Reason("file", row["path"][:512], "documents keep their ending"),),
        attack=("T1486",),
        links=pairs((row["kind"], row["uid"]), ("user", row["user"])),
        fields=pairs(("device.hostname", row["host"])),
    )
