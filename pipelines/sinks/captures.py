"""Keep what each sensor last said of its packets and drops (`pipelines/sources/capture.py`)."""

from datetime import UTC, datetime
from typing import Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute
from storage.outcome import Outcome
from storage.schema import EventBatch

NAME: Final = "captures"
MOST: Final = 200
"""Sensors of a step; whoever sends events may claim to be as many as he likes."""
MOST_HELD: Final = 1000
"""Sensors of a tenant in all; over it those go that said nothing for longest."""
_COUNTS: Final = ("started_us", "packets", "dropped")
_LAST_US: Final = 4_102_444_800_000_000
_NUL: Final = "\x00"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Bring the sensors up to date; what is older than what is known changes nothing."""
    told = [frame for batch in outcome.batches if not (frame := told_by(batch)).is_empty()]
    if told:
        latest = pl.concat(told).sort("told_us").group_by("tenant_id", "sensor", "interface")
        rows = latest.agg(pl.exclude("lost_us").last(), pl.col("lost_us").max()).head(MOST)
        execute(tx, "captures_tell", told=rows.write_json())
        tenants = rows.get_column("tenant_id").unique().sort().to_list()
        # What this very commit tells of a past month stays.
        before = datetime.fromtimestamp(int(str(rows.get_column("told_us").min())) / 1e6, UTC)
        execute(tx, "captures_sweep", tenants=tenants, before=before, most=MOST_HELD)


def told_by(batch: EventBatch) -> pl.DataFrame:
    """Give tenant_id, sensor, interface, told_us, started_us, packets, dropped, lost_us."""
    frame = batch.frame
    needed = {"metadata.event_code", "device.hostname", "unmapped.interface"}
    if not needed | {f"unmapped.{name}" for name in _COUNTS} <= set(frame.columns):
        return pl.DataFrame()
    lost = pl.col("metadata.event_code") == "packets_dropped"
    counts = [pl.col(f"unmapped.{n}").cast(pl.Int64, strict=False).alias(n) for n in _COUNTS]
    return (
        frame.filter((pl.col("metadata.log_name") == "capture") & (pl.col("class_uid") == 0))
        .select(
            "tenant_id",
            pl.col("device.hostname").str.replace_all(_NUL, "", literal=True)
            .str.slice(0, 200).alias("sensor"),
            pl.col("unmapped.interface").str.replace_all(_NUL, "", literal=True)
            .str.slice(0, 64).alias("interface"),
            pl.col("time").dt.epoch("us").alias("told_us"),
            *counts,
            lost_us=pl.when(lost).then(pl.col("time").dt.epoch("us")),
        )
        .drop_nulls(["sensor", "interface", "told_us", *_COUNTS])
        .filter(
            (pl.col("sensor") != "") & (pl.col("interface") != "")
            & pl.col("packets").ge(0) & pl.col("dropped").ge(0)
            & pl.col("started_us").is_between(0, _LAST_US)
        )
    )  # fmt: skip
