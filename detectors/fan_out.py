"""Claim a machine that reaches many others of the house by administration protocols, all new to it.

Who moves through a network opens SMB, RDP, WinRM or SSH to machine after machine. A server that
manages others has reached them before: a pair once known is never counted again, and the first day
of a tenant only teaches. ATT&CK T1021.
"""

from typing import Any, Final

import polars as pl

from detectors import _distinct
from detectors._columns import (
    DAY_US,
    came_to_nothing,
    claim,
    filled,
    is_inside,
    newest,
    pairs,
    time_us,
)
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FLOW: Final = 4001
HOUR_US: Final = 3_600_000_000
HOSTS: Final = 10
PORTS: Final = (22, 135, 139, 445, 3389, 5900, 5985, 5986)

META: Final = DetectorMeta(
    name="fan_out",
    version="1",
    title="Administration of many machines that were never administered from there",
    classes=frozenset({FLOW}),
    tables={
        "hosts": _distinct.TABLE,
        "known": {"tenant_id": pl.String(), "key": pl.String(), "last_us": pl.Int64()},
        "since": {"tenant_id": pl.String(), "key": pl.String(), "first_us": pl.Int64()},
    },
    max_keys=50_000,
    bytes_per_key=150,
)

_OWN: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count the machines that one machine reaches so for the first time within an hour."""
    rows = _reached(batch.frame)
    if rows.is_empty():
        return state, []
    since = _since(state["since"], rows)
    first = rows.unique(_OWN, keep="first", maintain_order=True)
    new = first.join(state["known"], on=_OWN, how="anti", maintain_order="left")
    begun = since.select("tenant_id", "first_us")
    new = new.join(begun, on="tenant_id", maintain_order="left").filter(
        pl.col("time_us") - pl.col("first_us") >= DAY_US
    )
    fresh = new.select(
        *("tenant_id", "event_id", "time_us"),
        key="src",
        value="dst",
        most=pl.lit(HOSTS, pl.Int64()),
    )
    hosts, met = _distinct.counted(
        state["hosts"], fresh, HOUR_US, context.watermark_us, META.max_keys
    )
    seen = rows.select(*_OWN, last_us="time_us")
    known = pl.concat([state["known"], seen]).unique(_OWN, keep="last", maintain_order=True)
    after = {
        "hosts": hosts,
        "known": newest(known, "last_us", META.max_keys).sort(_OWN),
        "since": since,
    }
    return after, [_claim(row) for row in met.iter_rows(named=True)]


def _reached(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame, "src_endpoint.ip", "dst_endpoint.ip", "dst_endpoint.port", "connection_info.state"
    )
    return frame.filter(
        (pl.col("class_uid") == FLOW)
        & ~pl.col("is_late")
        & pl.col("dst_endpoint.port").is_in(PORTS).fill_null(value=False)
        & ~came_to_nothing()
        & is_inside("src_endpoint.ip")
        & is_inside("dst_endpoint.ip")
        & (pl.col("src_endpoint.ip") != pl.col("dst_endpoint.ip"))
    ).select(
        *("tenant_id", "event_id"),
        src=pl.col("src_endpoint.ip").str.slice(0, 64),
        dst=pl.col("dst_endpoint.ip").str.slice(0, 64),
        key=pl.concat_str(
            pl.col("src_endpoint.ip").str.slice(0, 64),
            pl.col("dst_endpoint.ip").str.slice(0, 64),
            separator="\x1f",
        ),
        time_us=time_us(),
    )


def _since(table: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Give since when a tenant's administration was seen."""
    seen = rows.select("tenant_id", key=pl.lit("first"), first_us="time_us")
    every = pl.concat([table, seen])
    return every.unique(_OWN, keep="first", maintain_order=True).sort(_OWN)


def _claim(row: dict[str, Any]) -> Finding:
    count, src = len(row["values"]), row["key"]
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{src} {row['window_us']}",
        title=f"{src} reached {count} machines by administration protocols for the first time",
        level="high",
        time_us=row["time_us"],
        entity_type="ip",
        entity=src,
        event_ids=tuple(row["event_ids"]),
        event_count=count,
        reasons=(
            Reason("machines new to it within an hour", str(count), f"fewer than {HOSTS}"),
            Reason("reached", _distinct.some(row["values"])),
        ),
        attack=("T1021",),
        links=pairs(("ip", src), *(("ip", dst) for dst in row["values"])),
    )
