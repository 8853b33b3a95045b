"""Keep orders between the half that hears them and the half that does them; each is done once.

One SQLite file beside the spool. What was begun is on disk before it is done, so an order that a
crash interrupted is never done a second time. What is in force (an isolation, a block) is kept with
its end, so that it ends although the house is silent.
"""

import importlib
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.spool_file import broken, inode_of, is_damage, put_aside
from agent.voice import tell

FILE: Final = "orders.sqlite"
MOST_WAITING: Final = 64
MOST_BYTES: Final = 280_000
"""Of a result, as JSON; the house takes up to 300,000."""
_DEEPEST: Final = 12
_LARGEST: Final = 2**63
KEEP_S: Final = 7 * 86_400
"""An order's id is remembered so long after it came: many times longer than any is good for."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, at_s REAL NOT NULL, state TEXT NOT NULL,
    result TEXT NOT NULL DEFAULT '{}', is_told INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS in_force (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, until_s REAL NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS signed (id TEXT PRIMARY KEY, text TEXT NOT NULL);
"""


class Result(NamedTuple):
    """What came of an order: done, failed or refused, and what it found."""

    id: str
    state: str
    told: dict[str, Any]


class InForce(NamedTuple):
    """What holds on this host until it is undone or its time is over."""

    id: str
    kind: str
    until_s: float
    detail: dict[str, Any]


def bounded(told: dict[str, Any]) -> dict[str, Any]:
    r"""Give a result as the house takes it: text that is UTF-8 without NUL, no more than fits.

    >>> bounded({"path": "/srv/a\udcff\0"})
    {'path': '/srv/a\\udcff\\x00'}
    """
    found: dict[str, Any] = _plain(told, 0)
    size = len(json.dumps(found))
    while size > MOST_BYTES and isinstance(found.get("rows"), list) and found["rows"]:
        found = {**found, "rows": found["rows"][: len(found["rows"]) // 2], "is_cut": True}
        size = len(json.dumps(found))
    if size > MOST_BYTES:
        return {"why": f"the result has {size} bytes and was not kept", "is_cut": True}
    return found


def _plain(value: object, depth: int) -> Any:  # noqa: ANN401  what JSON has
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {str(_plain(str(k), 0)): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < _LARGEST:  # NaN is not below anything
        return value
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class Orders:
    """The file, for one process of each half."""

    def __init__(self, path: Path, *, mends: bool = True) -> None:
        """Open or make it (mode 0600).

        `mends`: one that is damaged is set aside and a new one begun; else sqlite3.DatabaseError.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._bad: set[str] = set()
        self.unread: Callable[[list[str]], None] = lambda ids: tell(
            f"rows of {path} cannot be read and are left out: {', '.join(ids)}"
        )
        """Told once of rows that say nothing that was ever noted here."""
        self.is_good: Callable[[InForce], bool] = lambda _one: True
        """Says whether what is noted as in force is the house's word: the file may be changed."""
        self.mended = ""
        """What was told as the file was found damaged and set aside."""
        inode = inode_of(path)
        try:
            self._db = _opened(path)
        except sqlite3.DatabaseError as wrong:
            if not mends or not is_damage(wrong):
                raise
            if inode_of(path) == inode:  # else another half has set it aside
                self.mended = f"the orders were damaged ({wrong}) and are in {put_aside(path)}"
                tell(self.mended)
            path.touch(mode=0o600)
            self._db = _opened(path)

    def offer(self, id: str, text: str, now_s: float) -> bool:
        """Keep an order that came; False if it came before, or too many wait."""
        with self._lock:
            (waiting,) = self._db.execute(
                "SELECT count(*) FROM orders WHERE state = 'came'"
            ).fetchone()
            if waiting >= MOST_WAITING:
                return False
            made = self._db.execute(
                "INSERT INTO orders (id, text, at_s, state) VALUES (?, ?, ?, 'came') "
                "ON CONFLICT DO NOTHING",
                (id, text, now_s),
            )
            self._db.execute("DELETE FROM orders WHERE at_s < ? AND is_told", (now_s - KEEP_S,))
            return made.rowcount == 1

    def has_work(self) -> bool:
        """Answer whether something waits, was begun and not ended, or is in force."""
        with self._lock:
            (found,) = self._db.execute(
                "SELECT EXISTS (SELECT 1 FROM orders WHERE state IN ('came', 'begun'))"
            ).fetchone()
        return bool(found) or bool(self.noted())

    def waiting(self) -> list[tuple[str, str]]:
        """Give what came and was not begun: (id, text), the oldest first."""
        with self._lock:
            return self._db.execute(
                "SELECT id, text FROM orders WHERE state = 'came' AND typeof(id) = 'text' "
                "ORDER BY at_s, id LIMIT 16"
            ).fetchall()

    def begin(self, id: str) -> bool:
        """Say on disk that it is being done; False if it was begun before."""
        with self._lock:
            done = self._db.execute(
                "UPDATE orders SET state = 'begun', text = '' WHERE id = ? AND state = 'came'",
                (id,),
            )
            return done.rowcount == 1

    def begun(self) -> list[str]:
        """Give what was begun and never ended: a crash lies between."""
        with self._lock:
            rows = self._db.execute("SELECT id FROM orders WHERE state = 'begun'").fetchall()
        return [str(row[0]) for row in rows]

    def end(self, result: Result) -> None:
        """Keep what came of it, plain and bounded: the house would not take it otherwise."""
        with self._lock:
            self._db.execute(
                "UPDATE orders SET state = ?, result = ?, text = '' WHERE id = ?",
                (result.state, json.dumps(bounded(result.told)), result.id),
            )

    def untold(self, most_bytes: int = 600_000) -> list[Result]:
        """Give results that the house has not heard, as many as fit into one beat."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, state, result FROM orders WHERE NOT is_told "
                "AND state NOT IN ('came', 'begun') AND typeof(id) = 'text' ORDER BY at_s LIMIT 10"
            ).fetchall()
        found: list[Result] = []
        size = 0
        for id_, state, text in rows:
            size += len(str(text))
            if found and size > most_bytes:
                break
            found.append(Result(id_, str(state), _told_of(text)))
        return found

    def told(self, ids: list[str]) -> None:
        """Note that the house has heard these results."""
        with self._lock:
            self._db.executemany("UPDATE orders SET is_told = 1 WHERE id = ?", [(i,) for i in ids])

    def hold(self, one: InForce) -> None:
        """Note what is in force, before it is."""
        with self._lock:
            self._db.execute(
                "INSERT INTO in_force VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
                "SET until_s = excluded.until_s, detail = excluded.detail",
                (one.id, one.kind, one.until_s, json.dumps(one.detail)),
            )

    def release(self, id: str) -> None:
        """Note that it is in force no more."""
        with self._lock:
            self._db.execute("DELETE FROM in_force WHERE id = ?", (id,))

    def keep_signed(self, id: str, text: str) -> None:
        """Keep the signed order of what will be in force; those of what is not any more go."""
        with self._lock:
            self._db.execute("DELETE FROM signed WHERE id NOT IN (SELECT id FROM in_force)")
            self._db.execute("INSERT OR REPLACE INTO signed VALUES (?, ?)", (id, text))

    def signed(self, id: str) -> str:
        """Give the signed order, '' if it is not kept."""
        with self._lock:
            row = self._db.execute("SELECT text FROM signed WHERE id = ?", (id,)).fetchone()
        return str(row[0]) if row else ""

    def held(self) -> list[InForce]:
        """Give what is in force by the house's word, the oldest first."""
        return [one for one in self.noted() if self.is_good(one)]

    def noted(self) -> list[InForce]:
        """Give what is noted as in force, whoever noted it."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, kind, until_s, detail FROM in_force ORDER BY until_s"
            ).fetchall()
        read = [(row[0], _held_of(row)) for row in rows]
        bad = {str(id_) for id_, one in read if one is None}
        if news := sorted(bad - self._bad):
            self.unread(news)
        self._bad = bad
        return [one for _, one in read if one is not None]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def anew_if_damaged(wrong: Exception) -> None:
    """Begin this process anew where the file is damaged: as it is opened it is set aside."""
    if isinstance(wrong, sqlite3.DatabaseError) and is_damage(wrong):
        # By name: it is needed when something went wrong, which is not every day.
        importlib.import_module("agent.watchdog").begin_anew(f"the orders: {wrong}")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA cache_size=-256")
        db.executescript(_SCHEMA)
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()  # a small file
    except sqlite3.DatabaseError:
        db.close()
        raise
    if said != "ok":
        db.close()
        raise broken(said)
    return db


def _held_of(row: tuple[Any, ...]) -> InForce | None:
    id_, kind, until_s, text = row
    try:
        detail = json.loads(text)
        is_whole = isinstance(id_, str) and isinstance(kind, str) and isinstance(detail, dict)
        return InForce(id_, kind, float(until_s), detail) if is_whole else None
    except (ValueError, TypeError, RecursionError):
        return None


def _told_of(text: str) -> dict[str, Any]:
    """Give a result; one that cannot be read is told as such, so that it keeps no other away."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"why": "the result on the host is damaged"}
