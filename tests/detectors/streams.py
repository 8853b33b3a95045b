"""Make small streams of events with planted oddities, for the detector conformance suite."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from storage.identity import event_ids
from storage.schema import COLUMNS, EventBatch

START_US = 1_780_000_000_000_000
MINUTE_US = 60_000_000
_TYPES = {c.name: c.dtype for c in COLUMNS}


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Give rows (with at least tenant_id, time_us, class_uid) as a legal event frame."""
    names = [c.name for c in COLUMNS[:15]]
    more = sorted({k for row in rows for k in row} - {*names, "time_us"})
    data = {n: [row.get(n) for row in rows] for n in [*names, *more]}
    frame = pl.DataFrame(
        {n: pl.Series(n, v, strict=False).cast(_TYPES.get(n, pl.String())) for n, v in data.items()}
    )
    time_us = pl.Series("time", [int(row["time_us"]) for row in rows])
    ids = (
        pl.concat(
            [
                event_ids(str(row["tenant_id"]), "stream", time_us.slice(i, 1), pl.Series([i]))
                for i, row in enumerate(rows)
            ]
        )
        if rows
        else pl.Series("event_id", [], pl.String())
    )
    return frame.with_columns(
        time_us.cast(pl.Datetime("us", "UTC")),
        ids.alias("event_id"),
        pl.lit(value=False).alias("is_late"),
        pl.int_range(len(rows), dtype=pl.Int64).alias("position"),
    )


def company(tenant: str, seed: int = 7, hours: int = 8) -> list[dict[str, Any]]:
    """Give a quiet company of three hosts and two vendors, with a burst and a giant invoice."""
    dice = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for minute in range(hours * 60):
        at = START_US + minute * MINUTE_US
        rows += [
            _event(tenant, at + dice.randrange(MINUTE_US), 1007, host)
            for host in ("web1", "pc7", "pc8")
        ]
        if minute % 30 == 0:
            vendor = dice.choice(["V-1", "V-2"])
            rows.append(_invoice(tenant, at, vendor, 10_000 + dice.randrange(500), minute))
    late = START_US + (hours * 60 - 40) * MINUTE_US
    rows += [_event(tenant, late + i * 1000, 1007, "pc7") for i in range(3000)]
    rows.append(_invoice(tenant, late, "V-1", 900_000, 10**6))
    return sorted(rows, key=lambda r: int(r["time_us"]))


def _event(tenant: str, time_us: int, class_uid: int, host: str) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "time_us": time_us,
        "class_uid": class_uid,
        "activity_id": 1,
        "device.hostname": host,
        "metadata.product.name": "linux",
        "metadata.log_format": "sample",
        "process.cmd_line": "xmrig --donate-level 1" if time_us % 997 == 0 else "ls",
    }


def _invoice(tenant: str, time_us: int, vendor: str, cents: int, number: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "time_us": time_us,
        "class_uid": 999001,
        "activity_id": 1,
        "vendor.uid": vendor,
        "vendor.name": vendor,
        "currency": "EUR",
        "amount_cents": cents,
        "document.uid": f"INV-{number}",
        "metadata.log_format": "sample",
    }


def batches(frame: pl.DataFrame, cuts: list[int]) -> Iterator[EventBatch]:
    """Cut a frame into batches at the given rows (sorted, deduplicated here)."""
    edges = [0, *sorted({c for c in cuts if 0 < c < frame.height}), frame.height]
    for start, end in itertools.pairwise(edges):
        for piece in frame.slice(start, end - start).iter_slices(8192):
            yield EventBatch.of(piece)
