"""Hold the lake's files: the small port that everything else writes and reads by, and the folder.

A file never changes and its name ends in a mark of its content. It is whole or absent, and durable
once `put` returns; whether it belongs to the lake the manifest says alone.
"""

import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from storage.errors import Unavailable
from storage.tenant import tenant_name

DRAFT: Final = ".new"
"""How a name ends that is no file of the lake yet."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Describe one live file: its place under the root, events, and the time it spans (UTC µs).

    `digest`: SHA-256 in hex, or '' for a file of an older version.
    """

    place: str
    events: int
    first_time_us: int
    last_time_us: int
    size_bytes: int = 0
    digest: str = ""


class Store(Protocol):
    """Keep files at their places, `tenant=T/class=C/day=D/NAME`; Unavailable if it cannot."""

    @property
    def root(self) -> Path:
        """Give the local folder under which `local` has its files, by tenant."""

    def folder_of(self, tenant_id: str) -> Path:
        """Give the one folder a process may read that asks for this tenant."""

    def put(self, place: str, content: memoryview) -> None:
        """Have this content at the place: whole and durable on return, absent before."""

    def draft(self, tenant_id: str) -> Path:
        """Give a new name in a local folder, to write a large file to before `adopt`."""

    def adopt(self, draft: Path, place: str) -> None:
        """Have the draft's content at the place, as `put` does; the draft is gone then."""

    def local(self, files: Sequence[Listed]) -> list[Path]:
        """Give the files as local ones, for a minute at least."""

    def copy(self, place: str, to: Path) -> bool:
        """Have a file's content at `to`, which may be a link; False if the file is gone."""

    def remove(self, places: Sequence[str]) -> None:
        """Delete files; those that are gone already are no error."""

    def sweep(self, tenant_id: str, known: Collection[str], grace_s: float) -> None:
        """Delete the tenant's files of that age and more that are not among the known places."""


class FolderStore:
    """Keep the files in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Keep the folder; it is made by the first write."""
        self._root = root

    @property
    def root(self) -> Path:
        """Give the folder."""
        return self._root

    def folder_of(self, tenant_id: str) -> Path:
        """Give the tenant's folder; it may not be there yet."""
        return self._root / f"tenant={tenant_name(tenant_id)}"

    def put(self, place: str, content: memoryview) -> None:
        """Write under a temporary name, sync, rename, sync the folder."""
        target = self._root / place
        fresh = target.with_name(f".{target.name}.{os.getpid()}{DRAFT}")
        try:
            make_folder(target.parent)
            write_synced(fresh, content)
            fresh.rename(target)
            sync_folder(target.parent)
        except OSError as e:
            raise Unavailable(f"the lake cannot write {place}: {e.strerror or e}") from e

    def draft(self, tenant_id: str) -> Path:
        """Give a name in the tenant's folder: the same file system, so that a rename is whole."""
        return draft_in(self.folder_of(tenant_id))

    def adopt(self, draft: Path, place: str) -> None:
        """Sync the draft and give it its name."""
        target = self._root / place
        try:
            make_folder(target.parent)
            sync_file(draft)
            draft.rename(target)
            sync_folder(target.parent)
        except OSError as e:
            raise Unavailable(f"the lake cannot write {place}: {e.strerror or e}") from e

    def local(self, files: Sequence[Listed]) -> list[Path]:
        """Give the paths."""
        return [self._root / file.place for file in files]

    def copy(self, place: str, to: Path) -> bool:
        """Link the file: it never changes, and the link holds it."""
        try:
            os.link(self._root / place, to)
        except FileNotFoundError:
            return False
        return True

    def remove(self, places: Sequence[str]) -> None:
        """Unlink."""
        for place in places:
            (self._root / place).unlink(missing_ok=True)

    def sweep(self, tenant_id: str, known: Collection[str], grace_s: float) -> None:
        """Unlink what a crash left between a file and its manifest row, drafts too."""
        for file in (self.folder_of(tenant_id)).rglob("*"):
            place = file.relative_to(self._root).as_posix()
            if place not in known and file.is_file() and age_s(file) > grace_s:
                file.unlink(missing_ok=True)


def draft_in(folder: Path) -> Path:
    """Make the folder and give a name in it that nobody else has; Unavailable if it cannot."""
    try:
        make_folder(folder)
    except OSError as e:
        raise Unavailable(f"the lake cannot make {folder.name}: {e.strerror or e}") from e
    return folder / f".{os.getpid()}-{os.urandom(6).hex()}{DRAFT}"


def write_synced(file: Path, content: memoryview) -> None:
    """Write a file and sync it."""
    with file.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def sync_file(file: Path) -> None:
    """Have a file's content on the disk."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a private folder and those above it, each synced into the one above."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def age_s(file: Path) -> float:
    """Give the seconds since the file was written, 0 if it is gone."""
    with suppress(FileNotFoundError):
        return time.time() - file.stat().st_mtime
    return 0.0
