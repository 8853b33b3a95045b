"""Keep local copies of an object store's files: bounded, checked, the longest unused go first."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from storage.errors import InvalidInput, Overloaded, Unavailable
from storage.lake.store import DRAFT, Listed, age_s, draft_in, make_folder, sync_file
from storage.tenant import tenant_name

IN_USE_S: Final = 120.0
"""A copy asked for within this time is somebody's: a hunt ends in 15 s."""
LEFT_S: Final = 3600.0
"""A draft of this age was left by a crash."""
_AT_ONCE: Final = 8
Fetch = Callable[[str, Path], None]


class Cache:
    """Know one folder; several processes may share it, as a copy never changes."""

    def __init__(self, folder: Path, size_max: int) -> None:
        """Keep the folder and the bound in bytes; nothing is made before it is needed."""
        self.folder = folder
        self._size_max = size_max

    def have(self, files: Sequence[Listed], fetch: Fetch) -> list[Path]:
        """Give local copies, fetching what is missing (`fetch(place, draft)`).

        InvalidInput if the files together are larger than the cache; Overloaded while it is full
        of what others use; Unavailable if what comes is not what the manifest says.
        """
        size = sum(file.size_bytes for file in files)
        if size > self._size_max:
            raise InvalidInput(
                f"this reads {size >> 20} MiB of the lake, the local copies may take "
                f"{self._size_max >> 20} MiB: narrow its time, or raise INOPSIO_LAKE_CACHE_MB"
            )
        missing = [file for file in files if not self._touched(file)]
        if missing:
            self._make_room(sum(file.size_bytes for file in missing))
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda file: self._fetch(file, fetch), missing))
            for file in files:
                self._touched(file)
        return [self.folder / file.place for file in files]

    def folder_of(self, tenant_id: str) -> Path:
        """Give the folder of a tenant's copies."""
        return self.folder / f"tenant={tenant_name(tenant_id)}"

    def draft(self, tenant_id: str) -> Path:
        """Give a new name beside the tenant's copies."""
        return draft_in(self.folder_of(tenant_id))

    def keep(self, draft: Path, place: str) -> None:
        """Make a draft the copy of a place."""
        target = self.folder / place
        make_folder(target.parent)
        draft.rename(target)

    def drop(self, places: Sequence[str]) -> None:
        """Forget copies."""
        for place in places:
            (self.folder / place).unlink(missing_ok=True)

    def _touched(self, file: Listed) -> bool:
        copy = self.folder / file.place
        try:
            if copy.stat().st_size != file.size_bytes:
                return False
            os.utime(copy)
        except FileNotFoundError:
            return False
        return True

    def _fetch(self, file: Listed, fetch: Fetch) -> None:
        draft = self.draft(file.place.split("/", 1)[0].removeprefix("tenant="))
        try:
            fetch(file.place, draft)
            self._check(file, draft)
            sync_file(draft)
            self.keep(draft, file.place)
        except OSError as e:
            raise Unavailable(f"no copy of {file.place}: {e.strerror or e}") from e
        finally:
            draft.unlink(missing_ok=True)

    def _check(self, file: Listed, draft: Path) -> None:
        with draft.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest() if file.digest else ""
        if draft.stat().st_size != file.size_bytes or found != file.digest:
            raise Unavailable(
                f"{file.place} in the object store is not what was written: {file.size_bytes} "
                f"bytes of SHA-256 {file.digest[:12]} expected"
            )

    def _make_room(self, needed: int) -> None:
        """Unlink the longest unused copies until there is room, drafts of crashes with them."""
        copies = []
        for file in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                told = file.stat()
                if file.is_dir():
                    continue
                if not file.name.endswith(DRAFT):
                    copies.append((told.st_mtime, told.st_size, file))
                elif age_s(file) > LEFT_S:
                    file.unlink(missing_ok=True)
        held = sum(size for _, size, _ in copies)
        for used, size, file in sorted(copies, key=lambda one: one[0]):
            if held + needed <= self._size_max:
                return
            if time.time() - used < IN_USE_S:
                break
            file.unlink(missing_ok=True)
            held -= size
        if held + needed > self._size_max:
            raise Overloaded(
                "the local copies of the lake are all in use; wait, or raise INOPSIO_LAKE_CACHE_MB",
                retry_after_s=int(IN_USE_S),
            )
