"""Open the spool's file: its tables, and how SQLite keeps them."""

import sqlite3
from pathlib import Path
from typing import Final

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
    found.executescript(_SCHEMA)
    return found
