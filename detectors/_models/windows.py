"""Put events into windows of hosts, addresses and people, as counts and bitmaps that merge."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from detectors._columns import account, filled
from detectors._models.features import bitmap, merged, schema_of

WINDOW_US: Final = 900 * 1_000_000
LONGEST_KEY: Final = 512
SPLIT: Final = "\x1f"
"""Between the kind of an entity and its name, in a key."""
COUNTS: Final[Mapping[str, str]] = {
    "events": "events of any kind",
    "process_starts": "processes started",
    "sign_ins": "sign-ins",
    "sign_in_failures": "failed sign-ins",
    "connections": "network connections",
    "dns_queries": "DNS queries",
    "bytes_out": "bytes sent",
    "bytes_in": "bytes received",
    "file_changes": "files written, renamed or deleted",
    "records_exported": "records exported",
    "money_changes": "prices, discounts and bank accounts changed",
    "approvals": "invoices and payments approved",
}
"""What is added up in a window, in the words of a reason."""
THINGS: Final[Mapping[str, str]] = {
    "programs": "different programs",
    "peers": "different addresses and hosts reached",
    "names": "different names asked for",
    "documents": "different documents touched",
}
"""What is told apart in a window."""
_READ: Final = (
    *("device.hostname", "src_endpoint.ip", "actor.user.name", "user.name", "status_id"),
    *("traffic.bytes_out", "traffic.bytes_in", "process.file.path", "dst_endpoint.ip"),
    *("query.hostname", "document.uid", "record_count", "activity_id"),
)
_MOST: Final = 2**50
_HOSTS: Final = (1001, 1005, 1006, 1007, 3001, 3002, 3006, 4001, 4002, 4003, 201001, 201002)
_PEOPLE: Final = (1007, 3002, 999001, 999002, 999003, 999004, 999012, 999013, 999014)
PLACE: Final = ["tenant_id", "key", "window_us"]
OPEN: Final[Mapping[str, pl.DataType]] = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "window_us": pl.Int64(),
    "first_event": pl.String(),
    **schema_of(list(COUNTS), list(THINGS)),
}
"""Columns of the state table of open windows."""


def added(open_: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Give the open windows with a batch's events in them; what is late does not count."""
    rows = filled(frame, *_READ).filter(~pl.col("is_late"))
    fresh = [_windows(rows, kind) for kind in ("host", "user")]
    every = pl.concat([open_, *(f.select(open_.columns) for f in fresh if f.height)])
    if every.height == open_.height:
        return open_
    return (
        every.group_by(PLACE, maintain_order=True)
        .agg(pl.col("first_event").first(), *(pl.col(n).sum() for n in COUNTS), *merged([*THINGS]))
        .select(open_.columns)
        .sort(PLACE)
    )


def _windows(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Give new windows of hosts (by address where a sensor knows no name), or of people."""
    classes = _HOSTS if kind == "host" else _PEOPLE
    named = _host_key() if kind == "host" else _user_key()
    mine = rows.filter(pl.col("class_uid").is_in(classes)).with_columns(key=named)
    mine = mine.filter(pl.col("key").is_not_null())
    if mine.is_empty():
        return mine
    start = pl.col("time").cast(pl.Int64).floordiv(WINDOW_US) * WINDOW_US
    return mine.group_by("tenant_id", "key", window_us=start, maintain_order=True).agg(
        pl.col("event_id").first().alias("first_event"), *_counts(), *_things(kind)
    )


def _host_key() -> pl.Expr:
    name = pl.col("device.hostname").str.strip_chars().str.to_lowercase()
    is_name = name.str.contains(r"[^0-9.:]") & ~name.str.contains(":", literal=True)
    host = pl.lit(f"host{SPLIT}") + name.str.split(".").list.first().str.slice(0, LONGEST_KEY)
    address = pl.when(is_name).then(None).otherwise(pl.coalesce(name, "src_endpoint.ip"))
    ip = pl.lit(f"ip{SPLIT}") + address.str.to_lowercase().str.slice(0, LONGEST_KEY)
    return pl.when(is_name & (name != "")).then(host).when(address != "").then(ip)


def _user_key() -> pl.Expr:
    name = account("actor.user.name", "user.name")
    is_person = ~name.str.ends_with("$") & ~name.is_in(["system", "local service", "root", "-"])
    return pl.when(is_person).then(pl.lit(f"user{SPLIT}") + name)


def _is(uid: int, *activities: int) -> pl.Expr:
    same = pl.col("class_uid") == uid
    return same & pl.col("activity_id").is_in(activities) if activities else same


def _counts() -> list[pl.Expr]:
    def many(what: pl.Expr) -> pl.Expr:
        return what.fill_null(value=False).sum().cast(pl.Int64)

    def total(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.Int64).fill_null(0).clip(0, _MOST).sum()

    failed = pl.col("status_id") == 2
    money = _is(999003, 5) | _is(999004, 5) | _is(999013, 6)
    told = {
        "events": pl.len().cast(pl.Int64),
        "process_starts": many(_is(1007, 1)),
        "sign_ins": many(_is(3002, 1) & ~failed.fill_null(value=False)),
        "sign_in_failures": many(_is(3002) & failed),
        "connections": many(_is(4001)),
        "dns_queries": many(_is(4003)),
        "bytes_out": total("traffic.bytes_out"),
        "bytes_in": total("traffic.bytes_in"),
        "file_changes": many(_is(1001, 1, 3, 4, 5)),
        "records_exported": total("record_count"),
        "money_changes": many(money),
        "approvals": many(_is(999001, 6) | _is(999002, 6)),
    }
    return [expression.alias(name) for name, expression in told.items()]


def _things(kind: str) -> list[pl.Expr]:
    reached = pl.col("dst_endpoint.ip")
    if kind == "user":
        reached = pl.coalesce(pl.col("device.hostname").str.to_lowercase(), reached)
    told = {
        "programs": pl.col("process.file.path").str.to_lowercase(),
        "peers": reached,
        "names": pl.col("query.hostname").str.to_lowercase(),
        "documents": pl.col("document.uid"),
    }
    return [part for name, what in told.items() for part in bitmap(name, what)]
