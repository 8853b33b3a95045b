"""Merge small files: the manifest changes in one transaction, old files go after a grace period.

Files merge with files of about their size (tiers), so that no large one is written again for each
small one; a class and day that rests is put together whatever the sizes are.
"""

import hashlib
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from storage.database import Database
from storage.database.queries import execute, select
from storage.database.rows import insert_lake_files
from storage.errors import Unavailable
from storage.lake.files import packed, write_file
from storage.outcome import LakeFile
from storage.tenant import tenant_name

SMALL_BYTES: Final = 16 << 20
EVENTS_MAX: Final = 250_000
"""Most events put together in one file: they are sorted in memory."""
FILES_MIN: Final = 4
"""Fewest files of one tier worth a merge."""
FILES_MAX: Final = 256
"""Most files put together in one: each is open columns in memory."""
EVENTS_ENOUGH: Final = EVENTS_MAX // FILES_MIN
"""A file with as many is left alone: four smaller ones always fit into one merge."""
TIERS: Final = (500, 4_000, 25_000)
"""Events at which a file enters the next tier."""
QUIET_S: Final = 3600
"""A class and day without a new file for so long is put together from two files on."""
GRACE_S: Final = 3600
"""How long a reader may still hold a list with replaced files."""


@dataclass(frozen=True, slots=True)
class _Small:
    path: str
    class_uid: int
    day: str
    events: int
    topic: str
    first_offset: int
    last_offset: int
    is_quiet: bool

    @property
    def tier(self) -> int:
        return 0 if self.is_quiet else sum(self.events >= edge for edge in TIERS)


def crowded(db: Database) -> list[str]:
    """Give the tenants that have enough files of one class, day and tier for a merge."""
    with db.writer() as tx:
        rows = select(
            tx,
            "lake_crowded",
            small=SMALL_BYTES,
            enough=EVENTS_ENOUGH,
            tiers=list(TIERS),
            files=FILES_MIN,
        )
    return [str(row["tenant_id"]) for row in rows]


def merge(root: Path, db: Database, tenant_id: str, quiet_s: int = QUIET_S) -> list[LakeFile]:
    """Merge each (class, day)'s small files into larger ones; give the files made.

    A crash at any moment loses nothing: a merged file without a manifest row is swept away later,
    replaced files are deleted only after a grace period.
    """
    tenant_name(tenant_id)
    with db.writer() as tx:
        rows = select(
            tx,
            "lake_small",
            tenant=tenant_id,
            small=SMALL_BYTES,
            enough=EVENTS_ENOUGH,
            quiet_s=quiet_s,
        )
    small = [
        _Small(
            str(r["path"]),
            int(str(r["class_uid"])),
            str(r["day"]),
            int(str(r["events"])),
            str(r["topic"]),
            int(str(r["first_offset"])),
            int(str(r["last_offset"])),
            bool(r["is_quiet"]),
        )
        for r in rows
    ]
    small.sort(key=lambda f: (f.class_uid, f.day, f.tier))  # stable: by time within a tier
    made = []
    for _, group in itertools.groupby(small, key=lambda f: (f.class_uid, f.day, f.tier)):
        made += [_merge(root, db, tenant_id, heap) for heap in _heaps(list(group))]
    return made


def _heaps(files: list[_Small]) -> list[list[_Small]]:
    heaps: list[list[_Small]] = [[]]
    events = 0
    for file in files:
        if len(heaps[-1]) >= FILES_MAX or (heaps[-1] and events + file.events > EVENTS_MAX):
            heaps.append([])
            events = 0
        heaps[-1].append(file)
        events += file.events
    fewest = 2 if files[0].is_quiet else FILES_MIN
    return [heap for heap in heaps if len(heap) >= fewest]


def _merge(root: Path, db: Database, tenant_id: str, heap: list[_Small]) -> LakeFile:
    old = [file.path for file in heap]
    try:
        frames = [pl.read_parquet(root / path, glob=False) for path in old]
    except (OSError, pl.exceptions.PolarsError) as e:
        raise Unavailable(f"{tenant_id}: a file of the lake cannot be read: {e}") from e
    frame = pl.concat(frames, how="diagonal").sort("time", "event_id")
    mark = hashlib.sha256("\n".join(old).encode()).hexdigest()[:16]
    place = Path(old[0]).with_name(f"merged-{mark}.parquet")
    content = packed(frame)
    write_file(root, place, content)
    times = frame.get_column("time").dt.epoch("us")
    file = LakeFile(
        tenant_id=tenant_id,
        path=place.as_posix(),
        class_uid=heap[0].class_uid,
        day=heap[0].day,
        events=frame.height,
        size_bytes=len(content),
        first_time_us=int(times[0]),
        last_time_us=int(times[-1]),
        topic=heap[0].topic,
        partition=-1,
        first_offset=min(f.first_offset for f in heap),
        last_offset=max(f.last_offset for f in heap),
    )
    with db.writer() as tx:
        insert_lake_files(tx, [file])
        replaced = execute(tx, "lake_replace", tenant=tenant_id, path=file.path, old=old)
        if replaced != len(old):
            raise Unavailable(f"{tenant_id}: another process merges class {file.class_uid} now")
    return file


def sweep(root: Path, db: Database, tenant_id: str, grace_s: int = GRACE_S) -> None:
    """Delete files replaced `grace_s` ago or longer, and leftovers of a crash of that age."""
    tenant_name(tenant_id)
    with db.writer() as tx:
        rows = select(tx, "lake_replaced", tenant=tenant_id, grace_s=grace_s)
    gone = [str(row["path"]) for row in rows]
    for path in gone:
        (root / path).unlink(missing_ok=True)
    with db.writer() as tx:
        execute(tx, "lake_forget", tenant=tenant_id, paths=gone)
        known = {root / str(row["path"]) for row in select(tx, "lake_paths", tenant=tenant_id)}
    # Left by a crash between the file and its manifest row.
    for file in (root / f"tenant={tenant_id}").rglob("*"):
        if file not in known and file.is_file() and _age_s(file) > grace_s:
            file.unlink(missing_ok=True)


def _age_s(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
