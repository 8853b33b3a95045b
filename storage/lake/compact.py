"""Merge small files into large ones: the manifest changes in one transaction, old files go later.

Files merge with files of about their size (tiers), so that no large one is written again for each
small one; a class and day that rests is put together whatever the sizes are. A file of 128 MiB is
left alone, a merge reads 512 MiB at most; what is held in memory is bounded by the row groups that
overlap in time, not by the size of the files.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.database import Database
from storage.database.queries import execute, select
from storage.database.rows import insert_lake_files
from storage.errors import Unavailable
from storage.lake.files import MARK, ROW_GROUP
from storage.lake.manifest import listed
from storage.lake.merged import merge_files
from storage.lake.store import Listed, Store
from storage.outcome import LakeFile
from storage.tenant import tenant_name

SMALL_BYTES: Final = 128 << 20
"""A file of this size is never written again."""
MERGED_BYTES: Final = 512 << 20
"""Most bytes read by one merge."""
FILES_MIN: Final = 4
"""Fewest files of one tier worth a merge."""
FILES_MAX: Final = 256
"""Most files put together in one: each is open columns in memory."""
TIERS: Final = (500, 4_000, 25_000, 150_000, 1_000_000)
"""Events at which a file enters the next tier."""
HELD_EVENTS: Final = 8 * ROW_GROUP
"""Most events of row groups that overlap in time, about; they are held at once."""
HELD_BYTES: Final = 64 << 20
"""The same, packed: rows may be wide."""
QUIET_S: Final = 3600
"""A class and day without a new file for so long is put together from two files on."""
QUIET_WORTH: Final = 20
"""A resting file larger than so many times all others together is not written again for them."""
GRACE_S: Final = 3600
"""How long a reader may still hold a list with replaced files."""


@dataclass(frozen=True, slots=True)
class _Small:
    file: Listed
    class_uid: int
    day: str
    topic: str
    first_offset: int
    last_offset: int
    is_quiet: bool

    @property
    def tier(self) -> int:
        return 0 if self.is_quiet else sum(self.file.events >= edge for edge in TIERS)

    @property
    def held_share(self) -> float:
        return min(1.0, ROW_GROUP / self.file.events)


def crowded(db: Database) -> list[str]:
    """Give the tenants that have enough files of one class, day and tier for a merge."""
    with db.writer() as tx:
        rows = select(tx, "lake_crowded", small=SMALL_BYTES, tiers=list(TIERS), files=FILES_MIN)
    return [str(row["tenant_id"]) for row in rows]


def merge(store: Store, db: Database, tenant_id: str, quiet_s: int = QUIET_S) -> list[LakeFile]:
    """Merge each (class, day)'s small files into larger ones; give the files made.

    A crash at any moment loses nothing: a merged file without a manifest row is swept away later,
    replaced files are deleted only after a grace period.
    """
    tenant_name(tenant_id)
    with db.writer() as tx:
        rows = select(tx, "lake_small", tenant=tenant_id, small=SMALL_BYTES, quiet_s=quiet_s)
    small = [
        _Small(
            listed(r),
            int(str(r["class_uid"])),
            str(r["day"]),
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
        made += [_merge(store, db, tenant_id, heap) for heap in _heaps(list(group))]
    return made


def _heaps(files: list[_Small]) -> list[list[_Small]]:
    """Part a tier's files into merges, in order of time."""
    if files[0].is_quiet:
        files = _worth(files)
    heaps: list[list[_Small]] = [[]]
    for file in files:
        if heaps[-1] and not _fits([*heaps[-1], file]):
            heaps.append([])
        heaps[-1].append(file)
    fewest = 2 if files[0].is_quiet else FILES_MIN
    return [heap for heap in heaps if len(heap) >= fewest]


def _worth(files: list[_Small]) -> list[_Small]:
    """Leave the largest out, if it would be written again for next to nothing."""
    largest = max(files, key=lambda f: f.file.events)
    others = sum(f.file.events for f in files) - largest.file.events
    if largest.file.events <= QUIET_WORTH * others or len(files) == 1:
        return files
    return [f for f in files if f is not largest]


def _fits(heap: Sequence[_Small]) -> bool:
    if len(heap) > FILES_MAX or sum(f.file.size_bytes for f in heap) > MERGED_BYTES:
        return False
    events, size = _held(heap)
    return len(heap) <= FILES_MIN or (events <= HELD_EVENTS and size <= HELD_BYTES)


def _held(heap: Iterable[_Small]) -> tuple[float, float]:
    """Guess the most events and bytes of row groups that a merge holds at one moment."""
    steps = []
    for one in heap:
        share = one.held_share
        weight = share * one.file.events, share * one.file.size_bytes
        steps.append((one.file.first_time_us, 0, *weight))
        steps.append((one.file.last_time_us, 1, -weight[0], -weight[1]))
    events = size = most_events = most_bytes = 0.0
    for _, _, more_events, more_bytes in sorted(steps):
        events, size = events + more_events, size + more_bytes
        most_events, most_bytes = max(most_events, events), max(most_bytes, size)
    return most_events, most_bytes


def _merge(store: Store, db: Database, tenant_id: str, heap: list[_Small]) -> LakeFile:
    old = [one.file for one in heap]
    draft = store.draft(tenant_id)
    try:
        events, first_us, last_us = merge_files(store.local(old), draft)
        if events != sum(f.events for f in old):
            raise Unavailable(f"{tenant_id}: files of the lake do not hold what they should")
        file = _described(tenant_id, heap, draft, events, (first_us, last_us))
        store.adopt(draft, file.path)
    finally:
        draft.unlink(missing_ok=True)
    with db.writer() as tx:
        insert_lake_files(tx, [file])
        replaced = execute(
            tx, "lake_replace", tenant=tenant_id, path=file.path, old=[f.place for f in old]
        )
        if replaced != len(old):
            raise Unavailable(f"{tenant_id}: another process merges class {file.class_uid} now")
    return file


def _described(
    tenant_id: str, heap: list[_Small], draft: Path, events: int, span: tuple[int, int]
) -> LakeFile:
    with draft.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    folder = heap[0].file.place.rpartition("/")[0]
    return LakeFile(
        tenant_id=tenant_id,
        path=f"{folder}/merged-{digest[:MARK]}.parquet",
        class_uid=heap[0].class_uid,
        day=heap[0].day,
        events=events,
        size_bytes=draft.stat().st_size,
        first_time_us=span[0],
        last_time_us=span[1],
        topic=heap[0].topic,
        partition=-1,
        first_offset=min(f.first_offset for f in heap),
        last_offset=max(f.last_offset for f in heap),
        digest=digest,
    )


def sweep(store: Store, db: Database, tenant_id: str, grace_s: int = GRACE_S) -> None:
    """Delete files replaced `grace_s` ago or longer, and leftovers of a crash of that age."""
    tenant_name(tenant_id)
    with db.writer() as tx:
        rows = select(tx, "lake_replaced", tenant=tenant_id, grace_s=grace_s)
    gone = [str(row["path"]) for row in rows]
    store.remove(gone)
    with db.writer() as tx:
        execute(tx, "lake_forget", tenant=tenant_id, paths=gone)
        known = {str(row["path"]) for row in select(tx, "lake_paths", tenant=tenant_id)}
    store.sweep(tenant_id, known, grace_s)


@dataclass(frozen=True, slots=True)
class Expired:
    """Say what went out of sight."""

    files: int
    events: int
    size_bytes: int


def expire(
    db: Database,
    tenant_id: str,
    before_us: int,
    classes: Iterable[int] | None = None,
    but: Iterable[int] = (),
) -> Expired:
    """Forget the tenant's files whose last event is before that time (UTC µs).

    `classes`: of these class_uids only, None = of all; `but`: not of these (0 = files of unknown
    classes). Out of sight for every reader at once; `sweep` deletes them after its grace period.
    """
    tenant_name(tenant_id)
    wanted = None if classes is None else list(classes)
    with db.writer() as tx:
        rows = select(
            tx,
            "lake_expire",
            tenant=tenant_id,
            before_us=before_us,
            classes=wanted,
            but=list(but),
        )
    return Expired(
        len(rows),
        sum(int(str(row["events"])) for row in rows),
        sum(int(str(row["size_bytes"])) for row in rows),
    )
