"""Back a house up while it runs, and bring it back: database, lake, log and keys of one moment.

The database's moment is the truth: it holds the offsets and the lake's manifest. Lake files never
change, so that those it names are linked aside at once; the log is copied after it, so that it
holds at least everything from those offsets on. What it holds beyond them is read again.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.agent_packages import FOLDER as PACKAGES
from api.agent_updates import FOLDER as RELEASES
from deploy.house import database_of
from deploy.running import private
from storage.database import Database
from storage.database.dump import read_back, settle, snapshot
from storage.errors import InvalidInput, Unavailable
from storage.lake.open import open_lake
from storage.settings import Settings

MANIFEST: Final = "manifest.json"
LAYOUT: Final = 1
_DUMP: Final = "database.dump"
_LOG: Final = "log.sqlite"
_KEYS: Final = "keys"
_LAKE: Final = "lake"
_LENT: Final = (RELEASES, PACKAGES)
"""What agents fetch: no table knows it."""
_HIDDEN: Final = shutil.ignore_patterns(".*")
Tell = Callable[[str], None]


def back_up(settings: Settings, to: Path, tell: Tell) -> dict[str, Any]:
    """Write the house to the folder `to`, which must not be there; give the manifest.

    The folder gets its name when it is whole: one that is there is good.
    """
    fresh = _fresh(to)
    try:
        with (
            database_of(settings) as database,
            snapshot(database.owner_login()) as moment,
            _held(settings, moment.lake_paths()) as (lake, lost),
        ):
            tell("database")
            moment.write(fresh / _DUMP)
            tables = moment.digests()
            tell("log and keys")
            _copy_log(settings.data_dir / _LOG, fresh / _LOG)
            _copy_keys(settings.data_dir / _KEYS, fresh / _KEYS)
            for name in _LENT:
                if (settings.data_dir / name).is_dir():
                    shutil.copytree(settings.data_dir / name, fresh / name, ignore=_HIDDEN)
            tell("lake")
            _copy_tree(lake, fresh / _LAKE)
        told = {
            "layout": LAYOUT,
            "made_at": datetime.now(UTC).isoformat(),
            "tables": {name: list(one) for name, one in tables.items()},
            "lake_files_gone": lost,
            "files": _sums(fresh),
        }
        (fresh / MANIFEST).write_text(json.dumps(told, indent=1, sort_keys=True))
        _sync(fresh)
        fresh.rename(to)
    except OSError as e:
        raise Unavailable(f"the backup cannot be written: {e.strerror or e}") from e
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return told


def check(of: Path) -> dict[str, Any]:
    """Read the manifest and every file; InvalidInput names what is missing or changed."""
    try:
        told = json.loads((of / MANIFEST).read_bytes())
        if told["layout"] != LAYOUT:
            raise InvalidInput(f"{of} was made by another version of the product")
        wanted: Mapping[str, str] = told["files"]
        found = _sums(of)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise InvalidInput(f"{of} is no backup: {e}") from None
    every = wanted.keys() | found.keys()
    wrong = sorted(name for name in every if wanted.get(name) != found.get(name))
    if wrong:
        raise InvalidInput(
            f"{of}: {len(wrong)} files are missing, changed or foreign, first {wrong[0]!r}; "
            "take another backup"
        )
    return dict(told)


def restore(of: Path, settings: Settings, tell: Tell) -> dict[str, Any]:
    """Bring a backup back as a house in `settings.data_dir`, which must not be there.

    Checked before and after: files by their sums, tables by rows and hash sums. The folder gets
    its name when all is there.
    """
    told = check(of)
    fresh = _fresh(settings.data_dir)
    try:
        fresh.chmod(0o711)  # as `make_private` does: the server's user must get through
        shutil.copytree(of / _KEYS, fresh / _KEYS)
        here = replace(settings, data_dir=fresh)
        tell("database")
        _database_back(here, of / _DUMP, told["tables"])
        tell("log and lake")
        for name in (_LOG, _LAKE, *_LENT):
            if not (of / name).exists():
                continue
            if name == _LAKE and settings.lake_url:
                _put_lake(settings, of / name)
            else:
                _copy_tree(of / name, fresh / name)
        _sync(fresh)
        fresh.rename(settings.data_dir)
    except OSError as e:
        raise Unavailable(f"the house cannot be written: {e.strerror or e}") from e
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return told


def _database_back(settings: Settings, dump: Path, wanted: Mapping[str, Any]) -> None:
    database = Database.empty(settings)
    try:
        _compare(wanted, read_back(database.owner_login(), dump))
        settle(database.owner_login())
    finally:
        database.stop()


def _compare(wanted: Mapping[str, Any], found: Mapping[str, tuple[int, str]]) -> None:
    stands = {name: list(one) for name, one in found.items()}
    wrong = sorted(n for n in wanted.keys() | stands.keys() if wanted.get(n) != stands.get(n))
    if wrong:
        first = wrong[0]
        raise Unavailable(
            f"table {first} is not what was backed up: {stands.get(first)} instead of "
            f"{wanted.get(first)} (rows, sum of hashes); nothing was kept"
        )


def _fresh(place: Path) -> Path:
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InvalidInput(f"{place} is there already; name a folder that is not")
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))


@contextlib.contextmanager
def _held(settings: Settings, paths: list[str]) -> Iterator[tuple[Path, int]]:
    """Hold the lake's files: links of them, or copies of objects; also say how many were gone."""
    aside = Path(tempfile.mkdtemp(prefix=".backup-", dir=settings.data_dir))
    store = open_lake(settings).store
    gone = 0
    try:
        for path in paths:
            place = aside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            gone += not store.copy(path, place)
        yield aside, gone
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_lake(settings: Settings, lake: Path) -> None:
    """Bring the files back to the object store that the settings name."""
    store = open_lake(settings).store
    for file in sorted(lake.rglob("*")):
        if file.is_file():
            with (
                file.open("rb") as handle,
                mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as whole,
                memoryview(whole) as content,
            ):
                store.put(file.relative_to(lake).as_posix(), content)


def _copy_log(log: Path, to: Path) -> None:
    if not log.exists():
        return
    private(to)
    with (
        contextlib.closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True, timeout=60)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target, pages=4096)


def _copy_keys(keys: Path, to: Path) -> None:
    to.mkdir(mode=0o700)
    for file in sorted(keys.iterdir()) if keys.is_dir() else ():
        if file.is_file():
            shutil.copyfile(file, private(to / file.name))


def _copy_tree(place: Path, to: Path) -> None:
    if place.is_dir():
        shutil.copytree(place, to)
    else:
        shutil.copyfile(place, private(to))


def _sums(folder: Path) -> dict[str, str]:
    """Give sha256 of every file but the manifest; a link is an error, it leads elsewhere."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_symlink():
            raise InvalidInput(f"{name} is a link; a backup has none")
        if file.is_file() and name != MANIFEST:
            with file.open("rb") as handle:
                found[name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def _sync(folder: Path) -> None:
    for place in [folder, *folder.rglob("*")]:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
