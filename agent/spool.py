"""Keep events on disk until the server has them: bounded, low value dropped first, all counted.

A stream is written to one of two lanes, each with its own unbroken numbers. When the server comes
back after a long absence, new rows go to the other lane, so that they need not wait for the old.
"""

import contextlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.spool_file import Damaged, blocks_of, inode_of, is_damage, opened, rows_of, take_over

LOW, NORMAL, HIGH = 0, 1, 2
"""What goes first when the disk is full: LOW is what can be learned again."""
LIVE_MOST: Final = 5000
"""Rows that may wait in a lane; with more the next ones take the other lane."""
BLOCK_BYTES: Final = 128 << 10
INCARNATION: Final = "incarnation"
"""Note: what the lanes are named with since the file was found set back, or the host restarted."""
_OVERHEAD: Final = 64
"""Bytes a block costs beside its data."""
_ROUND: Final = 64
_SMALL: Final = 300


class Batch(NamedTuple):
    """Rows of one lane, in order: `first` is the sequence number of `rows[0]`."""

    stream: str
    format: str
    first: int
    rows: list[bytes]


class Loss(NamedTuple):
    """What left the spool unsent: `rows` rows of `stream` from number `first` on."""

    stream: str
    first: int
    rows: int
    why: str


class Spool:
    """One SQLite file, for many threads. A batch without an answer is given again the same.

    `max_bytes`: size of what is kept; over it the oldest of the lowest value go, counted. A batch
    that was asked for stays until it is answered.
    """

    def __init__(self, path: Path, max_bytes: int = 1 << 30) -> None:
        """Open or make the file (mode 0600)."""
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._depth = 0
        self._held = 0
        """Bytes kept at most, as far as this connection knows: others may have sent some."""
        self.on_damage: Callable[[Damaged], None] | None = None
        """Called when the file is found damaged, or another is in its place: it begins anew."""
        self._db, self._inode = opened(path)
        try:
            with self._whole():
                take_over(self._db, self.together, self.append)
                self._held = self._size()
        except Damaged:
            self._db.close()
            raise

    def bound(self, max_bytes: int) -> None:
        """Keep so many bytes at most from now on; what is over goes with the next row."""
        self._max_bytes = max_bytes

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make what is done inside one commit: all of it is on disk afterwards, or none."""
        with self._lock:
            if self._depth:
                yield
                return
            if self.on_damage and inode_of(self.path) != self._inode:
                self.on_damage(Damaged(self.path, self._inode, "another file is in its place"))
            with self._whole():
                yield from self._commit()

    def _commit(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a damaged file lets nothing be rolled back
                self._db.execute("ROLLBACK")
                self._held = self._size()
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth = 0

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Name what SQLite says of a damaged file; Damaged."""
        try:
            with self._lock:
                yield
        except sqlite3.DatabaseError as wrong:
            if not is_damage(wrong):
                raise
            found = Damaged(self.path, self._inode, str(wrong))
            if self.on_damage:
                self.on_damage(found)
            raise found from wrong

    def append(
        self,
        stream: str,
        format: str,
        rows: Iterable[bytes],
        notes: Mapping[str, object] | None = None,
        value: int = NORMAL,
    ) -> int:
        """Keep rows and the collector's notes together, or neither; give how many rows."""
        kept = list(rows)
        with self.together():
            if kept:
                self._keep(stream, format, kept, value)
            for name, noted in (notes or {}).items():
                self._note(name, noted)
            if self._held > self._max_bytes:
                # What another connection sent meanwhile is still in the count: look.
                self._held = self._size()
                self._make_room()
        return len(kept)

    def _keep(self, stream: str, written_as: str, rows: list[bytes], value: int) -> None:
        found = self._db.execute(
            "SELECT lane, next_seq FROM lanes WHERE stream = ? AND is_live = 1", (stream,)
        ).fetchone()
        if found is None:
            lane = stream + self._mark()
            self._db.execute(
                "INSERT INTO lanes (lane, stream, format, value, is_live) VALUES (?, ?, ?, ?, 1)",
                (lane, stream, written_as, value),
            )
            found = (lane, 0)
        lane, next_seq = found
        for block in blocks_of(rows, BLOCK_BYTES):
            plain = b"\n".join(block)
            if plain.count(b"\n") >= len(block):  # a row is a line, or numbers go wrong
                plain = b"\n".join(row.replace(b"\n", b" ") for row in block)
            packed = zlib.compress(plain, 1) if len(plain) > _SMALL else plain
            size = len(packed) + _OVERHEAD
            self._db.execute(
                "INSERT INTO blocks (lane, first, count, value, size, is_packed, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (lane, next_seq, len(block), value, size, packed is not plain, packed),
            )
            next_seq += len(block)
            self._held += size
        self._db.execute(
            "UPDATE lanes SET next_seq = ?, format = ? WHERE lane = ?", (next_seq, written_as, lane)
        )

    def _size(self) -> int:
        (held,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM blocks").fetchone()
        return int(held)

    def _flooding(self) -> str:
        """Give a stream of high value that takes over half of the room: it pays for itself."""
        found = self._db.execute(
            "SELECT stream FROM blocks b JOIN lanes USING (lane) WHERE b.value >= ? "
            "GROUP BY stream HAVING sum(b.size) > ?",
            (HIGH, self._max_bytes // 2),
        ).fetchone()
        return str(found[0]) if found else ""

    def _make_room(self) -> None:
        while self._held > self._max_bytes:
            oldest = self._db.execute(
                "SELECT b.id, b.lane, b.first, b.count, b.size FROM blocks b JOIN lanes "
                "USING (lane) WHERE b.first >= coalesce(asked_to, 0) "
                "ORDER BY lanes.stream <> ?, b.value, b.id LIMIT ?",
                (self._flooding(), _ROUND),
            ).fetchall()
            if not oldest:
                return
            for id_, lane, first, count, size in oldest:
                if self._held <= self._max_bytes:
                    return
                self._db.execute("DELETE FROM blocks WHERE id = ?", (id_,))
                self._lose(lane, first, count, "spool full")
                self._held -= size

    def _lose(self, lane: str, first: int, count: int, why: str) -> None:
        self._db.execute("UPDATE lanes SET dropped = dropped + ? WHERE lane = ?", (count, lane))
        self._db.execute(
            "UPDATE lanes SET sent_to = ? WHERE lane = ? AND sent_to <= ? AND asked_to IS NULL",
            (first + count, lane, first),
        )
        self._db.execute(
            "INSERT INTO losses VALUES (?, ?, ?, ?) ON CONFLICT (lane) DO UPDATE SET "
            "count = count + excluded.count, why = excluded.why",
            (lane, first, count, why),
        )

    def losses(self) -> list[Loss]:
        """Give what was lost and not told yet, and forget it: call it in the commit that tells."""
        with self.together():
            found = self._db.execute("SELECT lane, first, count, why FROM losses").fetchall()
            if found:
                self._db.execute("DELETE FROM losses")
        return [Loss(*row) for row in found]

    def next_batch(self, most: int = 2000, max_bytes: int = 1 << 20) -> Batch | None:
        """Give the batch to send now, or None. Lanes take turns, so none waits for another."""
        with self.together():  # what is dropped between two looks must not be asked for
            rows: list[bytes] = []
            while not rows:
                row = self._db.execute(
                    "SELECT lane, format, asked_to FROM lanes WHERE next_seq > sent_to AND EXISTS "
                    "(SELECT 1 FROM blocks b WHERE b.lane = lanes.lane) ORDER BY turn, lane LIMIT 1"
                ).fetchone()
                if row is None:
                    return None
                lane, written_as, asked_to = row
                first, rows = self._rows(lane, asked_to, most, max_bytes)
            self._db.execute(
                "UPDATE lanes SET asked_to = ?, turn = (SELECT max(turn) + 1 FROM lanes) "
                "WHERE lane = ?",
                (first + len(rows), lane),
            )
            return Batch(lane, written_as, first, rows)

    def _rows(
        self, lane: str, asked_to: int | None, most: int, max_bytes: int
    ) -> tuple[int, list[bytes]]:
        """Give the rows to ask for: blocks that follow on each other, cut at `most`.

        None where the first block is damaged: it is given up, and what follows is asked for next.
        """
        found = self._db.execute(
            "SELECT b.first, count, is_packed, data, sent_to FROM blocks b JOIN lanes USING (lane)"
            " WHERE lane = ? AND b.first < ? ORDER BY b.first LIMIT ?",
            (lane, 2**62 if asked_to is None else asked_to, most),
        )
        start, rows, size = -1, list[bytes](), 0
        for first, count, is_packed, data, sent_to in found:
            if rows and first != start + len(rows):
                break
            skip = max(0, sent_to - first)
            block, size_bytes = rows_of(data, is_packed, count)
            if not block:
                if rows:
                    break
                found.close()
                self._lose(lane, first + skip, count - skip, "damaged")
                self._forget(lane, first + count)
                return first, []
            if (
                asked_to is None
                and rows
                and (len(rows) + count - skip > most or size + size_bytes > max_bytes)
            ):
                break
            start = first + skip if start < 0 else start
            size += size_bytes
            rows += block[skip:]
        found.close()
        rows = rows[: most if asked_to is None else max(0, asked_to - start)]
        if not rows:  # numbers that do not fit: what was sent goes, what was asked for is open
            self._db.execute("UPDATE lanes SET asked_to = NULL WHERE lane = ?", (lane,))
            self._db.execute(
                "DELETE FROM blocks WHERE lane = ? AND first + count <= ?", (lane, start)
            )
        return start, rows

    def done(self, batch: Batch) -> None:
        """Forget a batch: the server has it."""
        with self.together():
            self._forget(batch.stream, batch.first + len(batch.rows))
            self._db.execute(
                "UPDATE lanes SET sent = sent + ? WHERE lane = ?", (len(batch.rows), batch.stream)
            )
            self._split(batch.stream)

    def _forget(self, lane: str, end: int) -> None:
        with self.together():
            gone = self._db.execute(
                "DELETE FROM blocks WHERE lane = ? AND first + count <= ? RETURNING size",
                (lane, end),
            ).fetchall()
            self._held -= sum(size for (size,) in gone)
            self._db.execute(
                "UPDATE lanes SET sent_to = max(sent_to, ?), "
                "asked_to = CASE WHEN asked_to <= ? THEN NULL ELSE asked_to END WHERE lane = ?",
                (end, end, lane),
            )

    def _split(self, lane: str) -> None:
        """Send new rows by the other lane if many wait in this one and none in the other."""
        row = self._db.execute(
            "SELECT stream, format, value FROM lanes WHERE lane = ? AND is_live = 1 "
            "AND next_seq - sent_to > ?",
            (lane, LIVE_MOST),
        ).fetchone()
        if row is None:
            return
        stream, written_as, value = row
        other = lane.removesuffix("@2") if lane.endswith("@2") else f"{lane}@2"
        self._db.execute(
            "INSERT INTO lanes (lane, stream, format, value, is_live) VALUES (?, ?, ?, ?, 0) "
            "ON CONFLICT DO NOTHING",
            (other, stream, written_as, value),
        )
        free = self._db.execute(
            "UPDATE lanes SET is_live = 1 WHERE lane = ? AND NOT EXISTS "
            "(SELECT 1 FROM blocks WHERE blocks.lane = lanes.lane)",
            (other,),
        )
        if free.rowcount:
            self._db.execute("UPDATE lanes SET is_live = 0 WHERE lane = ?", (lane,))

    def _mark(self) -> str:
        mark = self.note(INCARNATION, "")
        return f"~{mark}" if mark else ""

    def asked(self) -> dict[str, int]:
        """Give for each lane the number up to which rows were ever asked for."""
        with self._whole():
            found = self._db.execute(
                "SELECT lane, max(sent_to, coalesce(asked_to, 0)) FROM lanes"
            ).fetchall()
        return dict(found)

    def renumber(self, mark: str) -> None:
        """Give the rows to come numbers of their own, in lanes named with `mark`.

        Rows that wait keep theirs: should the server have them, it knows them for repeats.
        """
        with self.together():
            self._db.execute("UPDATE lanes SET is_live = 0")
            self._db.execute(
                "DELETE FROM lanes WHERE dropped = 0 AND asked_to IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM blocks WHERE blocks.lane = lanes.lane)"
            )
            self._note(INCARNATION, mark)

    def give_up(self, batch: Batch) -> None:
        """Forget a batch that the server refuses for good; it is counted as dropped."""
        with self.together():
            self._lose(batch.stream, batch.first, len(batch.rows), "refused by the server")
            self._forget(batch.stream, batch.first + len(batch.rows))

    def note(self, name: str, default: Any) -> Any:  # noqa: ANN401  JSON
        """Give what a collector noted under the name; a note that is no JSON counts as none."""
        with self._whole():
            row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        with contextlib.suppress(ValueError, TypeError):
            return default if row is None else json.loads(row[0])
        return default

    def set_note(self, name: str, value: object) -> None:
        """Keep a note by itself."""
        with self.together():
            self._note(name, value)

    def _note(self, name: str, value: object) -> None:
        self._db.execute(
            "INSERT INTO notes VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def queue(self) -> list[dict[str, object]]:
        """Give a row a lane: what waits, what was sent, what was dropped."""
        with self._whole():
            found = self._db.execute(
                "SELECT lane, format, value, is_live, coalesce((SELECT sum(count) FROM blocks b "
                "WHERE b.lane = lanes.lane), 0) - max(0, sent_to - coalesce((SELECT min(first) "
                "FROM blocks b WHERE b.lane = lanes.lane), sent_to)), sent, dropped "
                "FROM lanes ORDER BY 1"
            ).fetchall()
        names = ("stream", "format", "value", "is_live", "waiting", "sent", "dropped")
        return [dict(zip(names, row, strict=True)) for row in found]

    def held_bytes(self) -> int:
        """Give the size of what is kept."""
        with self._whole():
            return self._size()

    def close(self) -> None:
        """Close the file; what was appended stays."""
        with self._lock:
            self._db.close()
