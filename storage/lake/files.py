"""Write Parquet so that it is whole or absent, and the same input gives the same file."""

import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from storage.errors import InvalidInput
from storage.lake.store import Store
from storage.outcome import LakeFile
from storage.schema import CLASSES, EventBatch
from storage.tenant import tenant_name

FOLDERS_MAX: Final = 64
"""Most (class, day) folders one write fills; beyond it days are put together."""
MARK: Final = 12
"""Digits of a file's digest that its name ends in."""
ROW_GROUP: Final = 65_536
"""Rows of a group: what a reader of an hour skips, and what a merge holds of each file."""
_KNOWN: Final = [c.class_uid for c in CLASSES]
_TOPIC: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KEYS: Final = ["tenant_id", "_class", "_day"]


def write_batches(
    store: Store,
    batches: Sequence[EventBatch],
    topic: str,
    partition: int,
    first_offset: int,
    last_offset: int,
) -> list[LakeFile]:
    """Write the events of these offsets, one file for each tenant, class and day of event time.

    Durable when it returns, visible when the files given back are committed to the manifest.
    Writing the same again replaces the files by the same; something else gets another name, so that
    a worker that was overtaken cannot change what another one committed. Unavailable if the disk
    refuses.
    """
    if not _TOPIC.fullmatch(topic):
        raise InvalidInput(f"topic {topic[:80]!r} cannot be part of a file name")
    frames = [batch.frame for batch in batches if len(batch)]
    if not frames:
        return []
    # In one piece: the sort would look for the piece of every value.
    frame = pl.concat(frames, how="diagonal", rechunk=True) if len(frames) > 1 else frames[0]
    name = f"{topic}-{partition}-{first_offset}-{last_offset}"
    files = []
    for (tenant, class_uid, day), part in _parts(frame):
        content = packed(part)
        digest = hashlib.sha256(content).hexdigest()
        folder = Path(f"tenant={tenant_name(tenant)}", f"class={class_uid}", f"day={day}")
        place = (folder / f"{name}-{digest[:MARK]}.parquet").as_posix()
        store.put(place, content)
        times = part.get_column("time").dt.epoch("us")
        files.append(
            LakeFile(
                tenant_id=tenant,
                path=place,
                class_uid=class_uid,
                day=day,
                events=part.height,
                size_bytes=len(content),
                first_time_us=int(times[0]),
                last_time_us=int(times[-1]),
                topic=topic,
                partition=partition,
                first_offset=first_offset,
                last_offset=last_offset,
                digest=digest,
            )
        )
    return files


def _parts(frame: pl.DataFrame) -> list[tuple[tuple[str, int, str], pl.DataFrame]]:
    known = pl.col("class_uid").is_in(_KNOWN)
    day = pl.col("time").dt.date()
    keyed = frame.with_columns(
        pl.when(known).then("class_uid").otherwise(0).alias("_class"), day.alias("_day")
    )
    ordered, rows = _grouped(keyed)
    # Odd clocks must not make a thousand files: put a year together, then everything.
    for over in (["tenant_id", "_class", day.dt.year()], ["tenant_id", "_class"]):
        if len(rows) > FOLDERS_MAX:
            ordered, rows = _grouped(keyed.with_columns(day.min().over(over).alias("_day")))
    ordered = ordered.drop("_class", "_day")
    parts = []
    first = 0
    for tenant, class_uid, at, count in rows:
        place = (str(tenant), int(class_uid), at.isoformat())
        parts.append((place, ordered.slice(first, count)))
        first += count
    return parts


def _grouped(keyed: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[Any, ...]]]:
    """Sort by tenant, class, day and time, as they came within a microsecond; count each part."""
    tenants = pl.Enum(keyed.get_column("tenant_id").unique().sort())
    place = pl.col("tenant_id").cast(tenants).to_physical().cast(pl.Int64)
    days = pl.col("_day").to_physical().cast(pl.Int64)
    for number, bits in ((pl.col("_class").cast(pl.Int64), 20), (days - days.min(), 22)):
        place = place * (1 << bits) + number
    # Two numbers sort in a third of the time that the five columns take; and one gather for all
    # parts, not one for each.
    order = keyed.select(pl.arg_sort_by(place, "time", maintain_order=True)).to_series()
    ordered = keyed[order]
    return ordered, ordered.select(_KEYS).group_by(_KEYS, maintain_order=True).len().rows()


def packed(frame: pl.DataFrame) -> memoryview:
    """Give the frame as Parquet, without its empty columns."""
    used = pl.DataFrame([s for s in frame.get_columns() if s.null_count() < len(s)])
    whole = io.BytesIO()  # a file handle of Python's is slower to write to, page by page
    used.write_parquet(whole, compression="zstd", compression_level=1, row_group_size=ROW_GROUP)
    return whole.getbuffer()
