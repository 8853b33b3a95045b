"""Open the spool's file: its tables, and how SQLite keeps them."""

import contextlib
import itertools
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError

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


_BESIDE: Final = ("-wal", "-shm")
_CORRUPT, _NO_DATABASE, _SHORT_READ = 11, 26, 522


class Damaged(AgentError):
    """The spool's file cannot be read any more: the agent that runs begins a new one."""

    def __init__(self, path: Path, inode: int, why: str) -> None:
        """Keep which file it is, by its inode: another may be in its place by now."""
        super().__init__(
            f"{path} is damaged ({why}); the agent sets it aside when it runs next, and begins a "
            "new one: restart it if it does not"
        )
        self.path, self.inode, self.why = path, inode, why


def is_damage(wrong: sqlite3.DatabaseError) -> bool:
    """Answer whether the file is broken, not only locked, full or out of reach."""
    code = getattr(wrong, "sqlite_errorcode", 0)
    is_known = code & 0xFF in {_CORRUPT, _NO_DATABASE} or code == _SHORT_READ
    return is_known or "decode to UTF-8" in str(wrong)


def inode_of(path: Path) -> int:
    """Give the number of the file that has the name, 0 if none has it."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def opened(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open or make the file (mode 0600): each commit is on disk when it returns.

    With its inode; Damaged if it is no spool any more.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
    inode = inode_of(path)
    found = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        found.execute("PRAGMA journal_mode=WAL")
        found.execute("PRAGMA synchronous=FULL")
        found.execute("PRAGMA journal_size_limit=16777216")
        found.execute("PRAGMA cache_size=-256")  # the system keeps the file in memory too
        found.executescript(_SCHEMA)
    except sqlite3.DatabaseError as wrong:
        found.close()
        if is_damage(wrong):
            raise Damaged(path, inode, str(wrong)) from wrong
        raise
    return found, inode


def take_over(
    db: sqlite3.Connection,
    together: Callable[[], contextlib.AbstractContextManager[None]],
    append: Callable[[str, str, Iterator[bytes]], Any],
) -> None:
    """Carry on the numbers and rows of a file from before there were lanes."""
    old = db.execute(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('rows', 'streams')"
    ).fetchone()
    if old != (2,):
        return
    with together():
        kept = db.execute("SELECT stream, value FROM rows ORDER BY stream, seq").fetchall()
        db.execute(
            "INSERT INTO lanes (lane, stream, format, value, is_live, next_seq, sent_to,"
            " dropped) SELECT stream, stream, format, 1, 1, coalesce((SELECT min(seq) FROM rows"
            " r WHERE r.stream = s.stream), next_seq), sent_to, dropped FROM streams s"
        )
        formats = dict(db.execute("SELECT stream, format FROM streams"))
        for stream, rows in itertools.groupby(kept, lambda row: str(row[0])):
            append(stream, formats[stream], (value for _, value in rows))
        db.execute("DROP TABLE rows")
        db.execute("DROP TABLE streams")


def blocks_of(rows: list[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    """Cut rows so that a block fits in memory and in a batch."""
    block, size = list[bytes](), 0
    for row in rows:
        if block and (size + len(row) > most_bytes or len(block) >= 1000):
            yield block
            block, size = [], 0
        block.append(row)
        size += len(row) + 1
    yield block


def rows_of(data: object, is_packed: object, count: int) -> tuple[list[bytes], int]:
    """Give a block's rows and their bytes; none if it is damaged."""
    if not isinstance(data, bytes):
        return [], 0
    try:
        plain = zlib.decompress(data) if is_packed else data
    except zlib.error:
        return [], 0
    rows = plain.split(b"\n")
    return (rows, len(plain)) if len(rows) == count else ([], 0)


def broken(why: str) -> sqlite3.DatabaseError:
    """Give what SQLite would raise of a damaged file, for what its check says of one."""
    found = sqlite3.DatabaseError(why.splitlines()[0][:200] if why else "malformed")
    found.sqlite_errorcode = _CORRUPT
    return found


def put_aside(path: Path) -> Path:
    """Give a damaged file and what lies beside it another name; one is kept, the newest."""
    aside = path.with_name(f"{path.name}.damaged")
    for end in _BESIDE:
        aside.with_name(f"{aside.name}{end}").unlink(missing_ok=True)
    path.replace(aside)
    for end in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(f"{path.name}{end}").replace(aside.with_name(f"{aside.name}{end}"))
    return aside


def set_aside(folder: Path) -> Path | None:
    """Give the spool another name: what it holds is for nobody else; None if there is none."""
    place = folder / NAME
    if not place.exists():
        return None
    aside = next(p for n in itertools.count(1) if not (p := folder / f"{NAME}.before-{n}").exists())
    with contextlib.closing(sqlite3.connect(place, timeout=10)) as spool:
        spool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    place.rename(aside)
    for end in _BESIDE:
        place.with_name(f"{NAME}{end}").unlink(missing_ok=True)
    return aside
