"""Claim writes and stops that reach an industrial controller from where none came before.

Modbus, DNP3, S7comm and CIP know no passwords: who can reach a controller can write to it. What
writes on the tenant's first day, or did before, is its operator station. A stop, restart or
download from elsewhere is grave, also on the first day. ATT&CK for ICS T0855, T0858.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, claim, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

PROTOCOLS: Final = ("modbus", "dnp3", "s7comm", "cip")
GRAVE: Final = (
    "stop controller", "stop", "reset", "cold restart", "warm restart", "stop application",
    "request download", "download block", "unity programming",
)  # fmt: skip

META: Final = DetectorMeta(
    name="controller_write",
    version="1",
    title="Write to a controller from a new place",
    classes=frozenset({0}),
    tables={
        "writers": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "grave": pl.Boolean(),
            "last_us": pl.Int64(),
        },
        "since": {"tenant_id": pl.String(), "key": pl.String(), "first_us": pl.Int64()},
    },
    max_keys=20_000,
    bytes_per_key=200,
)

_OWN: Final = ["tenant_id", "key", "grave"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Tell each new pair of writer and controller once, and once again for a stop."""
    del context
    rows = _calls(batch.frame)
    if rows.is_empty():
        return state, []
    seen = rows.select("tenant_id", key=pl.lit("first"), first_us="time_us")
    since = pl.concat([state["since"], seen]).unique(
        ["tenant_id", "key"], keep="first", maintain_order=True
    )
    writes = rows.filter(pl.col("is_write"))
    first = writes.unique(_OWN, keep="first", maintain_order=True)
    new = first.join(state["writers"], on=_OWN, how="anti", maintain_order="left").join(
        since.select("tenant_id", "first_us"), on="tenant_id", maintain_order="left"
    )
    strange = new.filter(pl.col("grave") | (pl.col("time_us") - pl.col("first_us") >= DAY_US))
    told = writes.select(*_OWN, last_us="time_us")
    writers = pl.concat([state["writers"], told]).unique(_OWN, keep="last", maintain_order=True)
    after = {
        "writers": newest(writers, "last_us", META.max_keys).sort(_OWN),
        "since": since.sort("tenant_id"),
    }
    return after, [_claim(row) for row in strange.iter_rows(named=True)]


def _calls(frame: pl.DataFrame) -> pl.DataFrame:
    """Give requests to controllers; answers do not say who wanted it."""
    frame = filled(
        frame,
        *("metadata.log_name", "src_endpoint.ip", "dst_endpoint.ip", "unmapped.function"),
        *("unmapped.is_write", "unmapped.is_request", "unmapped.unit"),
    )
    return frame.filter(
        (pl.col("class_uid") == 0)
        & pl.col("metadata.log_name").is_in(PROTOCOLS).fill_null(value=False)
        & (pl.col("unmapped.is_request") == "true").fill_null(value=False)
        & pl.col("src_endpoint.ip").is_not_null()
        & pl.col("dst_endpoint.ip").is_not_null()
    ).select(
        *("tenant_id", "event_id"),
        src=pl.col("src_endpoint.ip").str.slice(0, 64),
        dst=pl.col("dst_endpoint.ip").str.slice(0, 64),
        protocol="metadata.log_name",
        function="unmapped.function",
        unit="unmapped.unit",
        is_write=(pl.col("unmapped.is_write") == "true").fill_null(value=False),
        grave=pl.col("unmapped.function").is_in(GRAVE).fill_null(value=False),
        key=pl.concat_str(
            pl.col("src_endpoint.ip").str.slice(0, 64),
            pl.col("dst_endpoint.ip").str.slice(0, 64),
            "metadata.log_name",
            separator="\x1f",
        ),
        time_us=time_us(),
    )


def _claim(row: dict[str, Any]) -> Finding:
    src, dst, grave = row["src"], row["dst"], row["grave"]
    what = f"{row['protocol']}: {row['function']}"
    return claim(
        META,
        f"{META.name}.{'stop' if grave else 'write'}",
        row["tenant_id"],
        row["event_id"],
        title=f"{src} sent '{row['function']}' to the controller {dst}",
        level="high" if grave else "medium",
        time_us=row["time_us"],
        entity_type="ip",
        entity=dst,
        event_ids=(row["event_id"],),
        event_count=1,
        reasons=(
            Reason("sent", what, "reads, as most of what controllers are asked"),
            Reason("writes of this address to this controller before", "none", "some"),
        ),
        attack=("T0858",) if grave else ("T0855",),
        links=pairs(("ip", src), ("ip", dst)),
        fields=pairs(("function", row["function"]), ("unit", row["unit"])),
    )
