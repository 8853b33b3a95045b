"""Signal a machine that sends very much to one outside address within an hour.

Where it does so on most days, as a backup does, it is its trade and no longer told.
"""

from typing import Any, Final

import polars as pl

from detectors import _seats
from detectors._columns import (
    DAY_US,
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
LEAST: Final = 100_000_000
"""Bytes to one address within one hour of the clock that are worth telling."""
SMALL: Final = 50_000
"""Bytes below which a flow is not counted: reading, not sending."""
EXTREME: Final = 5_000_000_000
KNOWN_US: Final = 7 * DAY_US
"""A machine watched for so long that sends EXTREME somewhere new is a finding."""
ROUTINE: Final = 3
"""Earlier days with half as much to the same address that make it routine."""
HOUR_US: Final = 3_600_000_000
LINGER_US: Final = 6 * HOUR_US
MEMORY_US: Final = 30 * DAY_US

META: Final = DetectorMeta(
    name="bulk_upload",
    version="1",
    title="Large upload to one outside address",
    classes=frozenset({FLOW, *_seats.CLASSES}),
    tables={
        "hours": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "hour_us": pl.Int64(),
            "sent": pl.Int64(),
            "event_id": pl.String(),
        },
        "sources": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "first_us": pl.Int64(),
            "last_us": pl.Int64(),
            "sent": pl.Int64(),
        },
        "seats": _seats.SEATS,
    },
    max_keys=100_000,
    bytes_per_key=400,
)

_OWN: Final = ["tenant_id", "key"]
_PLACE: Final = [*_OWN, "hour_us"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add up bytes out per source, destination and hour; claim the flow that passes the bar."""
    sat = _seats.sitting(batch.frame)
    flows = _flows(batch.frame)
    after = dict(state)
    after["seats"] = newest(_seats.learned(state["seats"], sat), "last_us", META.max_keys)
    if flows.is_empty():
        return after, []
    counted = _counted(flows, state["hours"], state["sources"])
    hours = _hours(flows, state["hours"])
    crossing = (pl.col("sum") >= LEAST) & (pl.col("sum") - pl.col("sent") < LEAST)
    extreme = (pl.col("sum") >= EXTREME) & (pl.col("sum") - pl.col("sent") < EXTREME)
    hits = counted.filter(crossing | extreme).filter(2 * pl.col("sum") >= pl.col("a_day"))
    strange = _not_routine(hits, hours)
    named = _seats.seated(strange, "src", state["seats"], sat)
    after["hours"] = _kept(hours, context.watermark_us)
    after["sources"] = _sources(flows, state["sources"])
    return after, [_claim(row) for row in named.iter_rows(named=True)]


def _flows(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame, "src_endpoint.ip", "dst_endpoint.ip", "traffic.bytes_out", "unmapped.orig_bytes"
    ).with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    payload = pl.col("unmapped.orig_bytes").cast(pl.Int64, strict=False)
    sent = pl.coalesce(payload, "traffic.bytes_out").clip(0, 2**50)
    at = time_us()
    return (
        frame.filter(pl.col("class_uid") == FLOW)
        .filter(is_inside("src_endpoint.ip") & is_outside("dst_endpoint.ip"))
        .select(
            "tenant_id",
            "event_id",
            "row",
            src=pl.col("src_endpoint.ip").str.to_lowercase(),
            dst=pl.col("dst_endpoint.ip").str.to_lowercase(),
            sent=sent,
            time_us=at,
            hour_us=at.floordiv(HOUR_US) * HOUR_US,
        )
        .filter(pl.col("sent") >= SMALL)
        .with_columns(key=pl.concat_str("src", "dst", separator="\x1f").str.slice(0, 256))
    )


def _counted(flows: pl.DataFrame, hours: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """Add `sum` of the hour so far and `a_day`: what the source sends a day, from before."""
    known = hours.select(*_PLACE, before="sent", first_event="event_id")
    source = sources.select("tenant_id", "first_us", src="key", total="sent")
    own = ["tenant_id", "src"]
    first = pl.min_horizontal("first_us", pl.col("time_us").cum_min().over(own))
    age = (pl.col("time_us") - first).clip(DAY_US)
    total = pl.col("total").fill_null(0) + pl.col("sent").cum_sum().over(own) - pl.col("sent")
    return (
        flows.join(known, on=_PLACE, how="left", maintain_order="left")
        .join(source, on=own, how="left", maintain_order="left")
        .with_columns(
            sum=pl.col("before").fill_null(0) + pl.col("sent").cum_sum().over(_PLACE),
            # Kilobytes, so that the product stays within 64 bits.
            a_day=(total // 1000) * 24 // (age // HOUR_US) * 1000,
            age_us=pl.col("time_us") - first,
            opened=pl.coalesce("first_event", pl.col("event_id").first().over(_PLACE)),
        )
    )


def _hours(flows: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    fresh = flows.group_by(_PLACE, maintain_order=True).agg(
        pl.col("sent").sum(), pl.col("event_id").first()
    )
    return (
        pl.concat([hours, fresh.select(hours.columns)])
        .group_by(_PLACE, maintain_order=True)
        .agg(pl.col("sent").sum(), pl.col("event_id").first())
        .select(hours.columns)
    )


def _kept(hours: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
    """Keep the hours still open, and of the month before those that may make a routine."""
    is_open = pl.col("hour_us") + HOUR_US + LINGER_US > watermark_us
    is_large = (pl.col("sent") >= LEAST // 2) & (pl.col("hour_us") + MEMORY_US > watermark_us)
    return newest(hours.filter(is_open | is_large), "hour_us", META.max_keys).sort(_PLACE)


def _not_routine(hits: pl.DataFrame, hours: pl.DataFrame) -> pl.DataFrame:
    days = (
        hits.select(*_OWN, "row", here="hour_us")
        .join(hours.filter(pl.col("sent") >= LEAST // 2).select(_PLACE), on=_OWN)
        .with_columns(day=pl.col("hour_us").floordiv(DAY_US))
        .filter(pl.col("day") < pl.col("here").floordiv(DAY_US))
        .group_by("row")
        .agg(days=pl.col("day").n_unique())
    )
    return hits.join(days, on="row", how="left", maintain_order="left").filter(
        pl.col("days").fill_null(0) < ROUTINE
    )


def _sources(flows: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    fresh = flows.group_by("tenant_id", key="src").agg(
        first_us=pl.col("time_us").min(),
        last_us=pl.col("time_us").max(),
        sent=pl.col("sent").sum(),
    )
    merged = (
        pl.concat([sources, fresh.select(sources.columns)])
        .group_by(_OWN)
        .agg(pl.col("first_us").min(), pl.col("last_us").max(), pl.col("sent").sum())
        .select(sources.columns)
    )
    return newest(merged, "last_us", META.max_keys).sort(_OWN)


def _claim(row: dict[str, Any]) -> Finding:
    grave = int(row["sum"]) >= EXTREME and int(row["age_us"]) >= KNOWN_US
    host = row["host"]
    sent = int(row["sum"]) // 1_000_000
    return claim(
        META,
        META.name,
        row["tenant_id"],
        row["event_id"],
        title=f"{host or row['src']} sent {sent:,} MB to {row['dst']} within an hour",
        level="medium" if grave else "low",
        kind="finding" if grave else "signal",
        time_us=int(row["time_us"]),
        entity_type="host" if host else "ip",
        entity=host or row["src"],
        event_ids=tuple(dict.fromkeys([row["opened"], row["event_id"]])),
        reasons=(
            Reason(
                "sent to one outside address in an hour",
                f"{sent:,} MB to {row['dst']}",
                f"about {int(row['a_day']) // 1_000_000:,} MB a day to all of them together",
            ),
        ),
        attack=("T1048", "T1567"),
        links=pairs(
            ("ip", row["src"] if host else None), ("user", row["user"]), ("ip", row["dst"])
        ),
        fields=pairs(
            ("src_endpoint.ip", row["src"]),
            ("dst_endpoint.ip", row["dst"]),
            ("device.hostname", host),
            ("user.name", row["user"]),
        ),
    )
