"""Keep the log in one SQLite file: durable, group commit, many threads and processes.

A message's row id is its partition's number and its offset in one (`_place`): SQLite then keeps
large values out of the tree that it searches. Measured against a key of two columns WITHOUT ROWID:
as fast for 400-byte values, about three times as fast for 200 kB.
"""

import fcntl
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import Unavailable
from storage.log import Message, Record
from storage.log import statements as sql
from storage.log.group_commit import GroupCommit, Waiting
from storage.log.partition import (
    HEARTBEAT_US,
    LEASE_US,
    check_read,
    check_records,
    partition_of,
    share,
)

_LAYOUT: Final = 1
_IDLE_READERS: Final = 8
_TRIM_STEP: Final = 5000

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(dict[str, str])

_WAYS_OUT: Final = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_BUSY": "another process holds it too long; is a backup or a debugger at work?",
    "SQLITE_READONLY": "it may not be written; check the owner and the mount",
    "SQLITE_CANTOPEN": "it cannot be opened; check the folder and its rights",
    "SQLITE_CORRUPT": "it is damaged; restore it or set it aside",
    "SQLITE_NOTADB": "it is no event log; set it aside",
}


class SqliteLog:
    """Keep topics in one file. Open it in the process that uses it, never before a fork.

    `partitions`: of a topic that is made by the first append; a topic keeps the number it was
    made with. `linger_ms`: longest wait for others to share one sync (a lone append never waits).
    `busy_s`: longest wait for other processes. `now_us`: the clock, UTC µs. The file holds the
    space of trimmed messages for the next ones; it does not shrink.
    """

    def __init__(
        self,
        path: Path,
        partitions: int = 8,
        linger_ms: float = 4,
        busy_s: float = 20,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Open or make the file (mode 0600); Unavailable if that cannot be."""
        self._path = path
        self._partitions = partitions
        self._busy_s = busy_s
        self._now_us = now_us
        self._is_closed = False
        self._idle: list[sqlite3.Connection] = []
        with _explained(path):
            self._writer = self._make()
        self._writes = GroupCommit(self._run, linger_ms / 1000)

    def append(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Make the records durable; give (partition, offset) for each.

        InvalidInput if a record is too large (then none is kept); Unavailable if the disk is full
        or the file is held or closed.
        """
        check_records(topic, records)
        if not records:
            return []
        headers = [_text_of(r.headers) for r in records]
        return self._writes.write(lambda home: self._append(home, topic, records, headers))

    def read(
        self, topic: str, partition: int, offset: int, limit: int = 1000, max_bytes: int = 8 << 20
    ) -> list[Message]:
        """Give what lies at and after the offset, or after what was trimmed."""
        check_read(offset, limit, max_bytes)
        found: list[Message] = []
        size = 0
        with self._reader() as home:
            known = home.execute(sql.PARTITION, (topic, partition)).fetchone()
            if known is None or offset >= known[1]:
                return []
            base, end = _place(known[0], 0), _place(*known)
            with closing(home.execute(sql.READ, (base + offset, end, limit))) as rows:
                for place, appended_at_us, key, headers, value in rows:
                    size += len(key) + len(value)
                    if found and size > max_bytes:
                        break
                    at, named = place - base, _headers_of(headers)
                    found.append(Message(topic, partition, at, key, value, named, appended_at_us))
        return found

    def end(self, topic: str, partition: int) -> int:
        """Give the offset that the next record will get."""
        with self._reader() as home:
            known = home.execute(sql.PARTITION, (topic, partition)).fetchone()
        return int(known[1]) if known else 0

    def topics(self) -> Mapping[str, int]:
        """Give topic -> number of partitions, for topics that were ever appended to."""
        with self._reader() as home:
            return dict(home.execute(sql.TOPICS).fetchall())

    def partitions(self, topic: str) -> int:
        """Give the number of partitions the topic has or would have."""
        with self._reader() as home:
            return self._count(home, topic)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Keep the group's next offset to read, durably."""
        self._writes.write(lambda home: home.execute(sql.COMMIT, (group, topic, partition, offset)))

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give the group's next offset to read, 0 if it never committed."""
        with self._reader() as home:
            row = home.execute(sql.COMMITTED, (group, topic, partition)).fetchone()
        return int(row[0]) if row else 0

    def join(self, group: str, topic: str, member: str) -> list[int]:
        """Say that the member lives; give the partitions it owns now."""
        with self._reader() as home:
            mine = self._settled(home, group, topic, member)
        if mine is None:
            mine = self._writes.write(lambda home: self._join(home, group, topic, member))
        return mine

    def leave(self, group: str, topic: str, member: str) -> None:
        """Give the member's partitions back to the group."""

        def leave(home: sqlite3.Connection) -> None:
            home.execute(sql.DISOWN, (group, topic, member))
            home.execute(sql.LEAVE, (group, topic, member))

        self._writes.write(leave)

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Forget messages before the offset, in steps that let appends between; give how many."""
        with self._reader() as home:
            known = home.execute(sql.PARTITION, (topic, partition)).fetchone()
            if known is None:
                return 0
            last = _place(known[0], min(before, known[1]))
            first = home.execute(sql.FIRST, (_place(known[0], 0), last)).fetchone()[0]
        if first is None:
            return 0
        cuts = [*range(first, last, _TRIM_STEP), last]
        return sum(self._writes.write(_trimmed(a, b)) for a, b in itertools.pairwise(cuts))

    def close(self) -> None:
        """Finish what is being written and let go of the file; later calls are Unavailable."""
        self._writes.close()
        self._is_closed = True
        self._writer.close()
        while self._idle:
            self._idle.pop().close()

    def _append(
        self,
        home: sqlite3.Connection,
        topic: str,
        records: Sequence[Record],
        headers: Sequence[str],
    ) -> list[tuple[int, int]]:
        parts = home.execute(sql.PARTITIONS, (topic,)).fetchall()
        if not parts:
            home.executemany(sql.ADD_PARTITION, [(topic, p) for p in range(self._partitions)])
            parts = home.execute(sql.PARTITIONS, (topic,)).fetchall()
        now_us = self._now_us()
        ids = [partition_id for partition_id, _ in parts]
        ends = [end for _, end in parts]
        places = []
        rows = []
        for record, named in zip(records, headers, strict=True):
            p = partition_of(record.key, len(parts))
            places.append((p, ends[p]))
            rows.append((_place(ids[p], ends[p]), now_us, record.key, named, record.value))
            ends[p] += 1
        home.executemany(sql.ADD_MESSAGE, rows)
        home.executemany(sql.MOVE_END, [(ends[p], ids[p]) for p in {p for p, _ in places}])
        return places

    def _settled(
        self, home: sqlite3.Connection, group: str, topic: str, member: str
    ) -> list[int] | None:
        """Give what the member owns if joining would change nothing: that spares a sync."""
        now_us = self._now_us()
        seen = dict(home.execute(sql.MEMBERS, (group, topic)).fetchall())
        if not 0 <= now_us - seen.get(member, 0) < HEARTBEAT_US:
            return None
        owners = dict(home.execute(sql.OWNERS, (group, topic)).fetchall())
        mine = sorted(p for p, owner in owners.items() if owner == member)
        wanted = share(owners, seen, member, self._count(home, topic))
        is_alive = all(abs(now_us - at_us) <= LEASE_US for at_us in seen.values())
        return mine if is_alive and mine == wanted else None

    def _join(self, home: sqlite3.Connection, group: str, topic: str, member: str) -> list[int]:
        now_us = self._now_us()
        home.execute(sql.SEEN, (group, topic, member, now_us))
        # Seen in the future: the clock was set back, and who died before it would live for long.
        home.execute(sql.EXPIRE, (group, topic, now_us - LEASE_US, now_us + LEASE_US))
        members = dict(home.execute(sql.MEMBERS, (group, topic)).fetchall())
        owners = dict(home.execute(sql.OWNERS, (group, topic)).fetchall())
        mine = share(owners, members, member, self._count(home, topic))
        home.execute(sql.DISOWN, (group, topic, member))
        home.executemany(sql.OWN, [(group, topic, p, member) for p in mine])
        return mine

    def _count(self, home: sqlite3.Connection, topic: str) -> int:
        return int(home.execute(sql.COUNT, (topic,)).fetchone()[0]) or self._partitions

    def _run(self, group: Sequence[Waiting[sqlite3.Connection]]) -> None:
        """Do all works in one transaction, or tell each why none was done."""
        home = self._writer
        try:
            with _explained(self._path):
                home.execute("BEGIN IMMEDIATE")
                for waiting in group:
                    waiting.result = waiting.work(home)
                home.execute("COMMIT")
        except Unavailable as error:
            for waiting in group:
                waiting.error = error
        finally:
            with _explained(self._path):
                if home.in_transaction:
                    home.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; one that raised is thrown away."""
        if self._is_closed:
            raise Unavailable("the event log is closed; open it anew")
        with _explained(self._path):
            home = self._idle.pop() if self._idle else self._connect()
            is_sound = False
            try:
                yield home
                is_sound = not self._is_closed and len(self._idle) < _IDLE_READERS
            finally:
                if is_sound:
                    self._idle.append(home)
                else:
                    home.close()

    def _make(self) -> sqlite3.Connection:
        """Open the file, and lay it out if it is new; one process at a time does that."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        gate = self._path.with_name(self._path.name + ".lock")
        for place in (self._path, gate):
            os.close(os.open(place, os.O_CREAT | os.O_RDWR, 0o600))
        with gate.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            home = self._connect()
            layout = home.execute("PRAGMA user_version").fetchone()[0]
            if layout > _LAYOUT:
                home.close()
                raise Unavailable(
                    f"event log {self._path} has layout {layout}, this version knows {_LAYOUT}; "
                    "use the newer version"
                )
            home.execute("PRAGMA page_size = 8192")
            home.execute("PRAGMA journal_mode = WAL")
            if layout < _LAYOUT:
                home.executescript(
                    f"BEGIN IMMEDIATE; {sql.SCHEMA} PRAGMA user_version = 1; COMMIT;"
                )
        return home

    def _connect(self) -> sqlite3.Connection:
        home = sqlite3.connect(
            self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        home.execute("PRAGMA synchronous = FULL")
        home.execute("PRAGMA journal_size_limit = 67108864")
        return home


def _text_of(headers: Mapping[str, str]) -> str:
    try:
        return _ENCODER.encode(dict(headers)).decode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: half a surrogate pair
        return json.dumps(dict(headers))


def _headers_of(text: str) -> dict[str, str]:
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return dict(json.loads(text))


def _place(partition_id: int, offset: int) -> int:
    """Put both in one number: room for 2^40 messages in each of 2^23 partitions."""
    return partition_id << 40 | offset


def _trimmed(first: int, last: int) -> Callable[[sqlite3.Connection], int]:
    return lambda home: home.execute(sql.TRIM, (first, last)).rowcount


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into Unavailable with a way out."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        family = "_".join(name.split("_")[:2])
        reason = _WAYS_OUT.get(family, f"{name or type(error).__name__}: {error}")
        raise Unavailable(f"event log {path}: {reason}") from error
    except OSError as error:
        raise Unavailable(f"event log {path}: {error.strerror or error}") from error
