"""Signal a machine inside that took a connection from the internet: part of its risk, no alarm.

Told once a day for each machine and port, by answered traffic only: a scan that nobody answers
exposes nothing. A host's own log (Windows) names the host, a sensor's flow names the address.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, claim, cut, filled, is_inside, is_outside, pairs, time_us
from detectors._daily import DAILY, once_a_day
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

PORTS: Final = 8
"""Ports of one machine that are told in a day: more say nothing new."""
DOORS: Final = (
    21,
    22,
    23,
    135,
    139,
    445,
    1433,
    1521,
    3306,
    3389,
    5432,
    5900,
    5985,
    5986,
    6379,
    27017,
)
"""Ports for administration, files and databases: not meant for the internet."""

META: Final = DetectorMeta(
    name="exposure",
    version="1",
    title="Machine reached from the internet",
    classes=frozenset({4001}),
    tables={"told": {**DAILY, "port": pl.Int64()}},
    max_keys=20_000,
    bytes_per_key=PORTS * 60,
)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Tell each machine and port reached from outside, the first time of its day in the stream."""
    del context
    rows = _reached(batch.frame)
    if rows.is_empty():
        return state, []
    fresh, table = once_a_day(state["told"], rows, "port", PORTS, META.max_keys)
    return {"told": table}, [_claim(row) for row in fresh.iter_rows(named=True)]


def _reached(frame: pl.DataFrame) -> pl.DataFrame:
    """Give what was opened from outside to inside and answered, in the stream's order."""
    names = ("src_endpoint.ip", "dst_endpoint.ip", "dst_endpoint.port", "traffic.bytes_in")
    frame = filled(
        frame, *names, "status_id", "device.hostname", "metadata.product.name", "unmapped.Initiated"
    )
    is_host = pl.col("metadata.product.name") == "windows"
    was_opened = is_host & (pl.col("unmapped.Initiated").str.to_lowercase() == "false")
    answered = (pl.col("traffic.bytes_in") > 0) & (pl.col("status_id").fill_null(1) != 2)
    return (
        frame.filter(is_outside("src_endpoint.ip") & is_inside("dst_endpoint.ip"))
        .filter((was_opened | (~is_host & answered)).fill_null(value=False))
        .select(
            "tenant_id",
            "event_id",
            is_host=is_host.fill_null(value=False),
            host=cut("device.hostname"),
            ip=cut("dst_endpoint.ip"),
            peer=cut("src_endpoint.ip"),
            port=pl.col("dst_endpoint.port").cast(pl.Int64).fill_null(0),
            time_us=time_us(),
        )
        .with_columns(
            key=pl.when(pl.col("is_host") & pl.col("host").is_not_null())
            .then("host")
            .otherwise("ip"),
            day=pl.col("time_us") // DAY_US,
        )
    )


def _claim(row: dict[str, Any]) -> Finding:
    port, named = int(row["port"]), bool(row["is_host"] and row["host"])
    is_door = port in DOORS
    said = "a door of administration" if is_door else "open"
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['key']}|{port}|{row['day']}",
        title=f"{row['key']} answers the internet on port {port}",
        level="medium" if is_door else "low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="host" if named else "ip",
        entity=row["key"],
        event_ids=(row["event_id"],),
        reasons=(
            Reason("dst_endpoint.port", str(port), said),
            Reason("src_endpoint.ip", row["peer"], "an address of the internet"),
        ),
        attack=("T1133",) if is_door else ("T1190",),
        links=pairs(("ip", row["ip"])) if named else (),
        fields=pairs(("dst_endpoint.ip", row["ip"]), ("dst_endpoint.port", port)),
    )
