"""Make event batches for storage tests."""

from datetime import UTC, datetime, timedelta

import polars as pl

from storage.identity import event_ids
from storage.schema import EventBatch, dtypes

START = datetime(2024, 5, 1, 12, tzinfo=UTC)


def batch_of(
    tenant: str,
    rows: int,
    *,
    first: int = 0,
    step: timedelta = timedelta(seconds=1),
    classes: tuple[int, ...] = (1007, 3002),
    source: str = "made",
) -> EventBatch:
    """Make `rows` events at positions from `first`, one `step` apart, classes in turn."""
    place = range(first, first + rows)
    frame = pl.DataFrame(
        {
            "tenant_id": [tenant] * rows,
            "time": [START + step * i for i in place],
            "ingested_at": [START] * rows,
            "source": [source] * rows,
            "position": list(place),
            "is_late": [False] * rows,
            "is_time_clamped": [False] * rows,
            "category_uid": [1] * rows,
            "class_uid": [classes[i % len(classes)] for i in place],
            "activity_id": [1] * rows,
            "type_uid": [100701] * rows,
            "severity_id": [1] * rows,
            "metadata.log_format": ["made"] * rows,
            "metadata.product.name": ["windows"] * rows,
            "device.hostname": [f"host{i % 5}" for i in place],
            "process.cmd_line": [f"cmd /c {i}" for i in place],
            "unmapped.Image": [f"C:\\{i}.exe" if i % 2 else None for i in place],
        }
    )
    ids = event_ids(tenant, source, frame["time"].dt.epoch("us"), frame["position"])
    types = pl.Schema(
        {n: t for n, t in dtypes().items() if n in frame.columns} | {"unmapped.Image": pl.String()}
    )
    return EventBatch.of(frame.with_columns(ids).cast(types))
