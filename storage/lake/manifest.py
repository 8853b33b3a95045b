"""Ask the manifest which files hold a tenant's events of a time."""

from collections.abc import Iterable, Mapping
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import select
from storage.lake.store import Listed

FIRST_US: Final = -62_135_596_800_000_000  # begin of the year 1: an unset Windows time is in 1601
LAST_US: Final = 253_402_300_799_999_999  # end of the year 9999


def live_files(
    tx: Connection[TupleRow],
    tenant_id: str,
    since_us: int = FIRST_US,
    until_us: int = LAST_US,
    classes: Iterable[int] | None = None,
) -> list[Listed]:
    """List the files that may hold events with since <= time < until, oldest first.

    `classes`: class_uids; files of mixed or unknown class are listed whatever is asked.
    """
    rows = select(
        tx,
        "lake_live",
        tenant=tenant_id,
        since_us=since_us,
        until_us=until_us,
        classes=None if classes is None else [0, *classes],
    )
    return [listed(row) for row in rows]


def live_files_at(
    tx: Connection[TupleRow],
    tenant_id: str,
    moments_us: Iterable[int],
    classes: Iterable[int] | None = None,
) -> list[Listed]:
    """List the files that may hold events within 2 ms of any of these moments, oldest first."""
    rows = select(
        tx,
        "lake_live_at",
        tenant=tenant_id,
        moments_us=list(moments_us),
        classes=None if classes is None else [0, *classes],
    )
    return [listed(row) for row in rows]


def listed(row: Mapping[str, object]) -> Listed:
    """Read a row of the manifest."""
    return Listed(
        str(row["path"]),
        int(str(row["events"])),
        int(str(row["first_us"])),
        int(str(row["last_us"])),
        int(str(row["size_bytes"])),
        str(row["digest"]),
    )
