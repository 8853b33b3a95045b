"""Claim one program that writes a hundred files with one unusual ending within minutes.

Windows of ten minutes begin every five, so that any five minutes lie whole in one of them.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, LONGEST, account, claim, filled, newest, pairs, time_us
from detectors._endings import is_unusual
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FILES: Final = 100
HOP_US: Final = 300 * 1_000_000
LINGER_US: Final = 6 * 3600 * 1_000_000
"""How long a window outlives its end: sources that come late are counted still."""
EVIDENCE: Final = 20
"""Events kept of a burst while it is counted."""

META: Final = DetectorMeta(
    name="mass_rewrite",
    version="1",
    title="Files rewritten with one unusual ending",
    classes=frozenset({1001}),
    tables={
        "bursts": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "window_us": pl.Int64(),
            "files": pl.Int64(),
            "events": pl.String(),
        }
    },
    max_keys=20_000,
    bytes_per_key=900,
)

_PLACE: Final = ["tenant_id", "key", "window_us"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count the files that each program on each host writes with each unusual ending."""
    over = pl.col("window_us") + 2 * HOP_US + LINGER_US <= context.watermark_us
    known = state["bursts"]
    rows = _written(batch.frame) if "file.path" in batch.frame.columns else None
    if rows is None or rows.is_empty():
        kept = known.filter(~over)
        return {"bursts": known if kept.height == known.height else kept}, []
    counted = (
        rows.join(known.select(*_PLACE, "files"), on=_PLACE, how="left", maintain_order="left")
        .with_columns(files=pl.col("files").fill_null(0) + 1 + pl.int_range(pl.len()).over(_PLACE))
        .with_columns(pl.when(pl.col("files") <= EVIDENCE).then(pl.col("event_id")).alias("kept"))
    )
    fresh = counted.group_by(_PLACE).agg(
        files=pl.len().cast(pl.Int64),
        events=pl.col("kept").drop_nulls().str.join("\x1f"),
    )
    both = (
        pl.concat([known, fresh.select(known.columns)])
        .group_by(_PLACE, maintain_order=True)
        .agg(
            pl.col("files").sum(), pl.col("events").filter(pl.col("events") != "").str.join("\x1f")
        )
        .select(known.columns)
    )
    hits = counted.filter(pl.col("files") == FILES).join(
        both.select(*_PLACE, "events"), on=_PLACE, how="left", maintain_order="left"
    )
    bursts = newest(both.filter(~over), "window_us", META.max_keys).sort(_PLACE)
    return {"bursts": bursts}, [_claim(row) for row in hits.iter_rows(named=True)]


def _written(frame: pl.DataFrame) -> pl.DataFrame:
    """Give each file written with an unusual ending twice: once for each window it lies in."""
    frame = filled(
        frame,
        *("device.hostname", "device.ip", "actor.process.file.path", "actor.user.name"),
        *("unmapped.ProcessGuid", "actor.process.pid", "file.path", "user.name"),
    )
    name = pl.col("file.path").str.extract(r"([^\\/]{1,255})$", 1)
    rows = (
        frame.filter(pl.col("activity_id").is_in([1, 3, 5]))
        .select(
            "tenant_id",
            "event_id",
            host=pl.coalesce("device.hostname", "device.ip").str.to_lowercase(),
            ip=pl.col("device.ip"),
            program=pl.col("actor.process.file.path"),
            process=pl.coalesce(
                "unmapped.ProcessGuid",
                pl.col("actor.process.pid").cast(pl.String),
                "actor.process.file.path",
                "actor.user.name",
            ).fill_null("?"),
            user=account("actor.user.name", "user.name"),
            path=pl.col("file.path"),
            ending=name.str.extract(r"\.([^.\s]{1,40})$", 1).str.to_lowercase(),
            time_us=time_us(),
        )
        .filter(
            pl.col("host").is_not_null() & pl.col("ending").is_not_null() & is_unusual("ending")
        )
        .with_columns(
            key=pl.concat_str("host", "process", "ending", separator="\x1f").str.slice(0, LONGEST)
        )
    )
    start = pl.col("time_us").floordiv(HOP_US) * HOP_US
    return pl.concat(
        [rows.with_columns(window_us=start - HOP_US), rows.with_columns(window_us=start)]
    )


def _claim(row: dict[str, Any]) -> Finding:
    ending, host = row["ending"], row["host"]
    program = row["program"] or "one program"
    events = tuple(dict.fromkeys([*str(row["events"]).split("\x1f"), row["event_id"]]))
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['key']}\x1f{int(row['time_us']) // DAY_US}",
        title=f"{FILES} files on {host} rewritten as .{ending} within minutes",
        level="high",
        time_us=int(row["time_us"]),
        entity_type="host",
        entity=host,
        event_ids=events,
        event_count=FILES,
        reasons=(
            Reason("files with one new ending", f"{FILES} as .{ending} by {program}", "a few"),
            Reason("for example", row["path"][:LONGEST], "documents keep their ending"),
        ),
        attack=("T1486",),
        links=pairs(("user", row["user"]), ("ip", row["ip"]), ("process", row["program"])),
        fields=pairs(("device.hostname", host), ("actor.user.name", row["user"])),
    )
