"""Stand for one lake: write, merge, scan, restore and hunt in it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from storage.database import Database
from storage.lake import compact, files, hunt, read
from storage.lake.compact import GRACE_S, QUIET_S, Expired
from storage.lake.manifest import FIRST_US, LAST_US
from storage.lake.store import FolderStore, Store
from storage.outcome import LakeFile
from storage.schema import EventBatch
from storage.tenant import Scope


class Lake:
    """Know the files' home; every file is reached through the manifest, by a scope."""

    def __init__(self, root: Path, store: Store | None = None) -> None:
        """Keep the folder, which the first write makes, or another home of the files."""
        self.store: Store = FolderStore(root.resolve()) if store is None else store
        self.root = self.store.root
        self._hunters = hunt.Hunters()

    def write(
        self,
        events: EventBatch | Sequence[EventBatch],
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
    ) -> list[LakeFile]:
        """Write ALL events of these offsets in one call (the offsets are the files' names).

        Durable on return; commit the files given back to the manifest to make them visible.
        """
        batches = [events] if isinstance(events, EventBatch) else events
        return files.write_batches(self.store, batches, topic, partition, first_offset, last_offset)

    def compact(self, db: Database, tenant_id: str, grace_s: int = GRACE_S) -> list[LakeFile]:
        """Merge the tenant's small files and sweep what nobody needs; give the files made."""
        made = self.merge(db, tenant_id)
        compact.sweep(self.store, db, tenant_id, grace_s)
        return made

    def merge(self, db: Database, tenant_id: str, quiet_s: int = QUIET_S) -> list[LakeFile]:
        """Merge the tenant's small files only; give the files made."""
        return compact.merge(self.store, db, tenant_id, quiet_s)

    def crowded(self, db: Database) -> list[str]:
        """Give the tenants whose small files are worth a merge now; one cheap query."""
        return compact.crowded(db)

    def expire(
        self,
        db: Database,
        tenant_id: str,
        before_us: int,
        classes: Iterable[int] | None = None,
        but: Iterable[int] = (),
    ) -> Expired:
        """Forget the tenant's files whose last event is before that time (UTC µs).

        `classes`: of these class_uids only; `but`: not of these. `compact` deletes them later.
        """
        return compact.expire(db, tenant_id, before_us, classes, but)

    def scan(
        self,
        db: Database,
        scope: Scope,
        since_us: int = FIRST_US,
        until_us: int = LAST_US,
        classes: Iterable[int] | None = None,
    ) -> pl.LazyFrame:
        """Give the scope's events with since <= time < until (UTC µs) as one lazy frame."""
        return read.scan(self.store, db, scope, since_us, until_us, classes)

    def scan_at(
        self,
        db: Database,
        scope: Scope,
        moments_us: Sequence[int],
        classes: Iterable[int] | None = None,
    ) -> pl.LazyFrame:
        """Give the scope's events from the files that hold these moments as one lazy frame."""
        return read.scan_at(self.store, db, scope, moments_us, classes)

    def restore_batches(
        self,
        db: Database,
        scope: Scope,
        since_us: int = FIRST_US,
        until_us: int = LAST_US,
        classes: Iterable[int] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[EventBatch]:
        """Give the scope's events again in order of event time, in batches."""
        return read.restore_batches(self.store, db, scope, since_us, until_us, classes, columns)

    def hunt(
        self, db: Database, scope: Scope, sql: str, limits: hunt.HuntLimits | None = None
    ) -> hunt.Result:
        """Run a user's SELECT over the view `events` of the scope's files, shut in and bounded.

        NotAllowed without the grant `hunt:run`; InvalidInput says what is wrong with the query
        or which limit it passed.
        """
        return self._hunters.run(self.store, db, scope, sql, limits or hunt.HuntLimits())

    def warm(self) -> None:
        """Get ready for a hunt that is about to come."""
        self._hunters.warm()

    def close(self) -> None:
        """End the waiting hunt process."""
        self._hunters.close()
