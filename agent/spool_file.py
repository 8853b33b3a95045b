"""Open the spool's file: its tables, and how SQLite keeps them."""

import contextlib
import itertools
import sqlite3
from pathlib import Path
from typing import Final

NAME: Final = "spool.sqlite"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS lanes (
    lane TEXT PRIMARY KEY, stream TEXT NOT NULL, format TEXT NOT NULL, value INTEGER NOT NULL,
    is_live INTEGER NOT NULL, next_seq INTEGER NOT NULL DEFAULT 0,
    sent_to INTEGER NOT NULL DEFAULT 0, asked_to INTEGER, turn INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    value INTEGER NOT NULL, size INTEGER NOT NULL, is_packed INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS blocks_in_order ON blocks (lane, first);
CREATE INDEX IF NOT EXISTS blocks_by_value ON blocks (value, id);
CREATE TABLE IF NOT EXISTS losses (
    lane TEXT PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL, why TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def opened(path: Path) -> sqlite3.Connection:
    """Open or make the file (mode 0600): each commit is on disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
    found = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    found.execute("PRAGMA journal_mode=WAL")
    found.execute("PRAGMA synchronous=FULL")
    found.execute("PRAGMA journal_size_limit=16777216")
    found.execute("PRAGMA cache_size=-256")  # the system keeps the file in memory too
    found.executescript(_SCHEMA)
    return found


def set_aside(folder: Path) -> Path | None:
    """Give the spool another name: what it holds is for nobody else; None if there is none."""
    place = folder / NAME
    if not place.exists():
        return None
    aside = next(p for n in itertools.count(1) if not (p := folder / f"{NAME}.before-{n}").exists())
    with contextlib.closing(sqlite3.connect(place, timeout=10)) as spool:
        spool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    place.rename(aside)
    for end in ("-wal", "-shm"):
        place.with_name(f"{NAME}{end}").unlink(missing_ok=True)
    return aside
