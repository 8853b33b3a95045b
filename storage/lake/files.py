"""Write Parquet so that it is whole or absent, and the same input gives the same file."""

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from storage.errors import InvalidInput, Unavailable
from storage.outcome import LakeFile
from storage.schema import CLASSES, EventBatch
from storage.tenant import tenant_name

FOLDERS_MAX: Final = 64
"""Most (class, day) folders one write fills; beyond it days are put together."""
_KNOWN: Final = [c.class_uid for c in CLASSES]
_TOPIC: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KEYS: Final = ["tenant_id", "_class", "_day"]


def write_batches(
    root: Path,
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
    frame = pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]
    name = f"{topic}-{partition}-{first_offset}-{last_offset}"
    files = []
    for (tenant, class_uid, day), part in _parts(frame):
        content = packed(part)
        mark = hashlib.blake2b(content, digest_size=6).hexdigest()
        folder = Path(f"tenant={tenant_name(tenant)}", f"class={class_uid}", f"day={day}")
        place = folder / f"{name}-{mark}.parquet"
        write_file(root, place, content)
        times = part.get_column("time").dt.epoch("us")
        files.append(
            LakeFile(
                tenant_id=tenant,
                path=place.as_posix(),
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
            )
        )
    return files


def _parts(frame: pl.DataFrame) -> list[tuple[tuple[str, int, str], pl.DataFrame]]:
    known = pl.col("class_uid").is_in(_KNOWN)
    day = pl.col("time").dt.date()
    keyed = frame.with_columns(
        pl.when(known).then("class_uid").otherwise(0).alias("_class"), day.alias("_day")
    )
    if keyed.select(pl.struct(_KEYS).n_unique()).item() > FOLDERS_MAX:
        # Odd clocks must not make a thousand files: put a year together, then everything.
        keyed = keyed.with_columns(
            day.min().over("tenant_id", "_class", day.dt.year()).alias("_day")
        )
    if keyed.select(pl.struct(_KEYS).n_unique()).item() > FOLDERS_MAX:
        keyed = keyed.with_columns(day.min().over("tenant_id", "_class").alias("_day"))
    # One sort and slices of it: a gather of every column for every part costs three times as much.
    ordered = keyed.sort(*_KEYS, "time", "event_id")
    rows = ordered.select(_KEYS).group_by(_KEYS, maintain_order=True).len().rows()
    ordered = ordered.drop("_class", "_day")
    parts = []
    first = 0
    for tenant, class_uid, at, count in rows:
        place = (str(tenant), int(class_uid), at.isoformat())
        parts.append((place, ordered.slice(first, count)))
        first += count
    return parts


def packed(frame: pl.DataFrame) -> memoryview:
    """Give the frame as Parquet, without its empty columns."""
    used = pl.DataFrame([s for s in frame.get_columns() if s.null_count() < len(s)])
    whole = io.BytesIO()  # a file handle of Python's is slower to write to, page by page
    used.write_parquet(whole, compression="zstd", compression_level=1)
    return whole.getbuffer()


def write_file(root: Path, place: Path, content: memoryview) -> None:
    """Write one file under a temporary name, sync, rename, sync the folder."""
    target = root / place
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        _make_folder(target.parent)
        with fresh.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.rename(target)
        _sync_folder(target.parent)
    except OSError as e:
        raise Unavailable(f"the lake cannot write {place}: {e.strerror or e}") from e


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
