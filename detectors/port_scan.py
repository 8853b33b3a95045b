"""Claim an address whose connections fail at many ports, many hosts, or slowly all over.

Only TCP connections that were refused or not answered count: a busy client's succeed. Vertical:
many ports of one host; horizontal: one port of many hosts; slow: many ports and hosts through a
day, each seldom enough to stay below the others. ATT&CK T1046.
"""

from typing import Any, Final

import polars as pl

from detectors import _distinct
from detectors._columns import came_to_nothing, claim, filled, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FLOW: Final = 4001
FAST_US: Final = 600_000_000
DAY_US: Final = 86_400_000_000
PORTS: Final = 40
HOSTS: Final = 25
PLACES: Final = 80
SLOW_US: Final = 2 * 3_600_000_000
"""A day's crossing in less time is a fast scan, told as such."""
META: Final = DetectorMeta(
    name="port_scan",
    version="1",
    title="Port scan",
    classes=frozenset({FLOW}),
    tables={"fast": _distinct.TABLE, "slow": _distinct.TABLE},
    max_keys=20_000,
    bytes_per_key=PLACES * 150,
)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count different ports and hosts at which connections of one address failed."""
    rows = _failed(batch.frame)
    watermark_us, most = context.watermark_us, META.max_keys
    by_host = _told(rows, "vertical", ("src", "dst"), "port", PORTS)
    by_port = _told(rows, "horizontal", ("src", "port"), "dst", HOSTS)
    place = rows.with_columns(place=pl.concat_str("dst", "port", separator=" port "))
    all_over = _told(place, "slow", ("src",), "place", PLACES)
    fast_rows = pl.concat([by_host, by_port]).sort("row", maintain_order=True).drop("row")
    fast, met = _distinct.counted(state["fast"], fast_rows, FAST_US, watermark_us, most)
    slow, spread = _distinct.counted(
        state["slow"], all_over.drop("row"), DAY_US, watermark_us, most
    )
    late = spread.filter(pl.col("time_us") - pl.col("first_us") >= SLOW_US)
    found = [_claim(row) for row in pl.concat([met, late]).iter_rows(named=True)]
    return {"fast": fast, "slow": slow}, found


def _failed(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("src_endpoint.ip", "dst_endpoint.ip", "dst_endpoint.port"),
        *("connection_info.state", "connection_info.protocol_name"),
    )
    tcp = pl.col("connection_info.protocol_name").str.to_lowercase() == "tcp"
    return frame.filter(
        (pl.col("class_uid") == FLOW)
        & ~pl.col("is_late")
        & came_to_nothing()
        & tcp.fill_null(value=False)
        & (pl.col("src_endpoint.ip") != pl.col("dst_endpoint.ip")).fill_null(value=False)
        & pl.col("dst_endpoint.port").is_not_null()
    ).select(
        *("tenant_id", "event_id"),
        src=pl.col("src_endpoint.ip").str.slice(0, 64),
        dst=pl.col("dst_endpoint.ip").str.slice(0, 64),
        port=pl.col("dst_endpoint.port").cast(pl.String),
        time_us=time_us(),
        row=pl.int_range(pl.len()),
    )


def _told(
    rows: pl.DataFrame, kind: str, key: tuple[str, ...], value: str, most: int
) -> pl.DataFrame:
    return rows.select(
        *("tenant_id", "event_id", "time_us", "row"),
        key=pl.concat_str(pl.lit(kind), *key, separator="\x1f"),
        value=pl.col(value),
        most=pl.lit(most, pl.Int64()),
    )


def _claim(row: dict[str, Any]) -> Finding:
    kind, src, *rest = row["key"].split("\x1f")
    count, shown = len(row["values"]), _distinct.some(row["values"])
    what = {
        "vertical": f"{count} ports of {''.join(rest)}",
        "horizontal": f"port {''.join(rest)} of {count} hosts",
        "slow": f"{count} ports of hosts through the day",
    }[kind]
    seconds = (row["time_us"] - row["first_us"]) // 1_000_000
    return claim(
        META,
        f"{META.name}.{kind}",
        row["tenant_id"],
        f"{row['key']} {row['window_us']}",
        title=f"{src} tried {what}",
        level="medium",
        time_us=row["time_us"],
        entity_type="ip",
        entity=src,
        event_ids=tuple(row["event_ids"][: _distinct.SHOWN]),
        event_count=count,
        reasons=(
            Reason("refused or unanswered", f"{what} in {seconds} s", "a few, if at all"),
            Reason("tried", shown),
        ),
        attack=("T1046",),
        links=pairs(("ip", src), ("ip", rest[0] if kind == "vertical" else None)),
    )
