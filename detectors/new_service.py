"""Signal a port of the house that answers the internet and never did before.

A connection from outside that a machine inside accepted, at a port that did not answer so on any
earlier day; the first day of a tenant only teaches. Scans that nobody answers are no service.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import (
    DAY_US,
    came_to_nothing,
    claim,
    filled,
    is_inside,
    is_outside,
    newest,
    pairs,
    time_us,
)
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FLOW: Final = 4001
EPHEMERAL: Final = 32_768
"""From here on ports are given to clients: what answers there is mostly a file transfer's end."""

META: Final = DetectorMeta(
    name="new_service",
    version="1",
    title="Port that answers the internet for the first time",
    classes=frozenset({FLOW}),
    tables={
        "services": {"tenant_id": pl.String(), "key": pl.String(), "last_us": pl.Int64()},
        "since": {"tenant_id": pl.String(), "key": pl.String(), "first_us": pl.Int64()},
    },
    max_keys=20_000,
    bytes_per_key=120,
)

_OWN: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Tell each address, protocol and port once, when it first answers the outside."""
    del context
    flows = _flows(batch.frame)
    if flows.is_empty():
        return state, []
    seen = flows.select("tenant_id", key=pl.lit("first"), first_us="time_us")
    since = pl.concat([state["since"], seen]).unique(_OWN, keep="first", maintain_order=True)
    served = flows.filter(pl.col("is_served"))
    new = (
        served.unique(_OWN, keep="first", maintain_order=True)
        .join(state["services"], on=_OWN, how="anti", maintain_order="left")
        .join(since.select("tenant_id", "first_us"), on="tenant_id", maintain_order="left")
        .filter(pl.col("time_us") - pl.col("first_us") >= DAY_US)
    )
    told = served.select(*_OWN, last_us="time_us")
    services = pl.concat([state["services"], told]).unique(_OWN, keep="last", maintain_order=True)
    after = {
        "services": newest(services, "last_us", META.max_keys).sort(_OWN),
        "since": since.sort("tenant_id"),
    }
    return after, [_claim(row) for row in new.iter_rows(named=True)]


def _flows(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("src_endpoint.ip", "dst_endpoint.ip", "dst_endpoint.port", "connection_info.state"),
        *("connection_info.protocol_name", "traffic.bytes_in"),
    )
    answered = (pl.col("traffic.bytes_in") > 0).fill_null(value=False) & ~came_to_nothing()
    proto = pl.col("connection_info.protocol_name").str.to_lowercase()
    served = (
        is_outside("src_endpoint.ip")
        & is_inside("dst_endpoint.ip")
        & answered
        & (pl.col("dst_endpoint.port") < EPHEMERAL).fill_null(value=False)
        & (proto == "tcp").fill_null(value=False)
    )
    return frame.filter(
        (pl.col("class_uid") == FLOW) & ~pl.col("is_late") & pl.col("dst_endpoint.ip").is_not_null()
    ).select(
        *("tenant_id", "event_id"),
        src="src_endpoint.ip",
        dst=pl.col("dst_endpoint.ip").str.slice(0, 64),
        port="dst_endpoint.port",
        key=pl.concat_str(
            pl.col("dst_endpoint.ip").str.slice(0, 64),
            pl.col("dst_endpoint.port").cast(pl.String).fill_null(""),
            separator=" port ",
        ),
        is_served=served,
        time_us=time_us(),
    )


def _claim(row: dict[str, Any]) -> Finding:
    return claim(
        META,
        META.name,
        row["tenant_id"],
        row["event_id"],
        title=f"{row['dst']} answers the internet at port {row['port']} for the first time",
        level="medium",
        kind="signal",
        time_us=row["time_us"],
        entity_type="ip",
        entity=row["dst"],
        event_ids=(row["event_id"],),
        event_count=1,
        reasons=(
            Reason("answered from outside before", "never", "on earlier days"),
            Reason("first asked by", row["src"]),
        ),
        attack=("T1133",),
        links=pairs(("ip", row["dst"]), ("ip", row["src"])),
    )
