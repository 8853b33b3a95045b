"""Keep events on disk until the server has them: bounded, oldest dropped first, drops counted."""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rows (
    stream TEXT NOT NULL, seq INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    stream TEXT PRIMARY KEY, format TEXT NOT NULL, next_seq INTEGER NOT NULL DEFAULT 0,
    sent_to INTEGER NOT NULL DEFAULT 0, asked_to INTEGER, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Batch(NamedTuple):
    """Rows of one stream, in order: `first` is the sequence number of `rows[0]`."""

    stream: str
    format: str
    first: int
    rows: list[bytes]


class Spool:
    """One SQLite file. A batch that was sent without an answer is sent again exactly the same.

    `max_bytes`: size of the rows kept; over it the oldest of the fullest stream go, counted.
    """

    def __init__(self, path: Path, max_bytes: int = 1 << 30) -> None:
        """Open or make the file (mode 0600)."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
        self.path = path
        self._max_bytes = max_bytes
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self._held = self._size()
        """Bytes kept at most, as far as this connection knows: others may have sent some."""

    @contextlib.contextmanager
    def _together(self) -> Any:  # noqa: ANN401  a context manager of nothing
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def append(
        self,
        stream: str,
        format: str,
        rows: Iterable[bytes],
        notes: Mapping[str, object] | None = None,
    ) -> int:
        """Keep rows and the collector's notes together, or neither; give how many rows."""
        kept = list(rows)
        size = sum(map(len, kept))
        with self._together():
            self._db.execute(
                "INSERT INTO streams (stream, format) VALUES (?, ?) "
                "ON CONFLICT (stream) DO UPDATE SET format = excluded.format",
                (stream, format),
            )
            (next_seq,) = self._db.execute(
                "SELECT next_seq FROM streams WHERE stream = ?", (stream,)
            ).fetchone()
            self._db.executemany(
                "INSERT INTO rows VALUES (?, ?, ?)",
                ((stream, next_seq + i, value) for i, value in enumerate(kept)),
            )
            self._db.execute(
                "UPDATE streams SET next_seq = ? WHERE stream = ?", (next_seq + len(kept), stream)
            )
            for name, value in (notes or {}).items():
                self._note(name, value)
            held = self._held + size
            if held > self._max_bytes:
                # What another connection sent meanwhile is still in the count: look.
                held = self._size()
                held -= self._make_room(held - self._max_bytes)
        self._held = held
        return len(kept)

    def _size(self) -> int:
        (held,) = self._db.execute("SELECT coalesce(sum(length(value)), 0) FROM rows").fetchone()
        return int(held)

    def _make_room(self, over: int) -> int:
        freed = 0
        while freed < over:
            row = self._db.execute(
                "SELECT stream FROM rows GROUP BY stream ORDER BY sum(length(value)) DESC LIMIT 1"
            ).fetchone()
            if row is None:
                break
            oldest = self._db.execute(
                "SELECT seq, length(value) FROM rows WHERE stream = ? ORDER BY seq LIMIT 256", row
            ).fetchall()
            last = oldest[-1][0]
            self._db.execute("DELETE FROM rows WHERE stream = ? AND seq <= ?", (row[0], last))
            self._db.execute(
                "UPDATE streams SET dropped = dropped + ?, sent_to = max(sent_to, ?), "
                "asked_to = CASE WHEN asked_to <= ? THEN NULL ELSE asked_to END WHERE stream = ?",
                (len(oldest), last + 1, last + 1, row[0]),
            )
            freed += sum(size for _, size in oldest)
        return freed

    def next_batch(self, most: int = 2000, max_bytes: int = 1 << 20) -> Batch | None:
        """Give the batch to send now, or None: the one that had no answer first, unchanged."""
        with self._together():  # what is dropped between two looks must not be asked for
            return self._asked(most, max_bytes)

    def _asked(self, most: int, max_bytes: int) -> Batch | None:
        row = self._db.execute(
            "SELECT stream, format, asked_to FROM streams WHERE next_seq > sent_to "
            "ORDER BY asked_to IS NULL, (SELECT min(seq) FROM rows r WHERE r.stream = "
            "streams.stream), stream LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        stream, written_as, asked_to = row
        rows = self._db.execute(
            "SELECT seq, value FROM rows WHERE stream = ? AND seq < ? ORDER BY seq LIMIT ?",
            (stream, asked_to if asked_to is not None else 2**62, most),
        ).fetchall()
        taken: list[tuple[int, bytes]] = []
        size = 0
        for seq, value in rows:
            size += len(value)
            if taken and size > max_bytes and asked_to is None:
                break
            taken.append((seq, value))
        if not taken:
            return None
        self._db.execute(
            "UPDATE streams SET asked_to = ? WHERE stream = ?", (taken[-1][0] + 1, stream)
        )
        return Batch(stream, written_as, taken[0][0], [value for _, value in taken])

    def done(self, batch: Batch) -> None:
        """Forget a batch: the server has it."""
        end = batch.first + len(batch.rows)
        with self._together():
            self._db.execute("DELETE FROM rows WHERE stream = ? AND seq < ?", (batch.stream, end))
            self._db.execute(
                "UPDATE streams SET sent_to = max(sent_to, ?), asked_to = NULL WHERE stream = ?",
                (end, batch.stream),
            )
        self._held -= sum(map(len, batch.rows))

    def give_up(self, batch: Batch) -> None:
        """Forget a batch that the server refuses for good; it is counted as dropped."""
        self.done(batch)
        self._db.execute(
            "UPDATE streams SET dropped = dropped + ? WHERE stream = ?",
            (len(batch.rows), batch.stream),
        )

    def note(self, name: str, default: Any) -> Any:  # noqa: ANN401  JSON
        """Give what a collector noted under the name."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set_note(self, name: str, value: object) -> None:
        """Keep a note by itself."""
        self._note(name, value)

    def _note(self, name: str, value: object) -> None:
        self._db.execute(
            "INSERT INTO notes VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def queue(self) -> list[dict[str, object]]:
        """Give a row a stream: what waits, what was sent, what was dropped."""
        found = self._db.execute(
            "SELECT stream, format, next_seq - sent_to, sent_to, dropped FROM streams ORDER BY 1"
        )
        names = ("stream", "format", "waiting", "sent", "dropped")
        return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Close the file; what was appended stays."""
        self._db.close()
