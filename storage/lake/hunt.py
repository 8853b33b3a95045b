"""Run users' SQL over the lake in a process that can read one tenant's files and nothing else.

Each query gets a process of its own (`_hunt_child.py`), started ahead so that nobody waits for an
interpreter: Landlock, resource limits, DuckDB locked, one SELECT. The process says which time the
query's own words leave to be read, and gets the files of that time: the manifest prunes before
DuckDB opens anything. Here the wall clock is held and the answer is cut to size while it comes in.
The answer is JSON: a process that was taken over could send anything, and a JSON reader is hard to
hurt.
"""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from storage.database import Database
from storage.errors import InvalidInput, Overloaded, Unavailable
from storage.lake.manifest import FIRST_US, LAST_US, live_files
from storage.lake.store import Listed, Store
from storage.schema.columns import ENVELOPE
from storage.tenant import Scope

_CHILD: Final = Path(__file__).with_name("_hunt_child.py")
_SQL_MAX: Final = 100_000
_FILES_MAX: Final = 20_000
_SMALL_EVENTS: Final = 2_000
_SMALL_IN_ALL: Final = 40_000
"""Events of small files that a hunt takes into memory first: a query opens its files many times."""
AT_ONCE: Final = 6
AT_ONCE_OF_ONE: Final = 2
"""Hunts of one tenant at once: each may take a GiB, 15 s and a thread of the front door."""
_DUCKDB: Final = {"String": "VARCHAR", "Int64": "BIGINT", "Int32": "INTEGER", "Boolean": "BOOLEAN"}
_TURNS_MAX: Final = 2
"""How often a query asks for files: those of its words, then, if these do not do, all of them."""
_SPAN_MAX: Final = 200
Give = Callable[[tuple[int, int]], dict[str, list[str]]]
_COLUMNS: Final = {c.name: _DUCKDB.get(str(c.dtype), "TIMESTAMPTZ") for c in ENVELOPE}


@dataclass(frozen=True, slots=True)
class HuntLimits:
    """Bound one query: rows and bytes of the answer, seconds, memory, and the time it reads."""

    rows: int = 10_000
    size_bytes: int = 8 << 20
    wall_s: float = 15.0
    cpu_s: int = 20
    memory_bytes: int = 1 << 30
    threads: int = 2
    since_us: int = FIRST_US
    until_us: int = LAST_US


@dataclass(frozen=True, slots=True)
class Result:
    """Hold the answer. `truncated`: what was cut, in words for the user, or empty.

    Values are JSON's: times and big numbers come as text. `files`: how many were read at most;
    `is_sandboxed`: the kernel's own lock (Landlock) stood around the process.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    truncated: str
    files: int
    elapsed_ms: int
    is_sandboxed: bool


class Hunters:
    """Keep one process waiting for the next query."""

    def __init__(self) -> None:
        """Start nothing before the first hunt."""
        self._guard = threading.Lock()
        self._spares: list[subprocess.Popen[bytes]] = []
        self._running: Counter[str] = Counter()
        weakref.finalize(self, _end_all, self._spares)

    def run(self, store: Store, db: Database, scope: Scope, sql: str, limits: HuntLimits) -> Result:
        """Run the query; InvalidInput says what is wrong with it or which limit it passed.

        Overloaded when too many run already, of this tenant or of all.
        """
        scope.require("hunt:run")
        if len(sql) > _SQL_MAX:
            raise InvalidInput(f"the query is longer than {_SQL_MAX} characters")
        request = {
            "sql": sql,
            "folder": str(store.folder_of(scope.tenant_id)),
            "columns": _COLUMNS,
            "since_us": limits.since_us,
            "until_us": limits.until_us,
            "rows": limits.rows,
            "threads": limits.threads,
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
        }
        with self._turn(scope.tenant_id):
            start = time.monotonic()
            child = self._take()
            try:
                talk = _Talk(child, limits, lambda span: _files(store, db, scope, limits, span))
                answer = talk.hold(json.dumps(request).encode() + b"\n")
            finally:
                _end(child)
                self.warm()  # not earlier: its start would take a core from the hunt
        return _result(answer, limits, talk.files, int((time.monotonic() - start) * 1000))

    def warm(self) -> None:
        """Start the waiting process, so that the next hunt waits for no interpreter."""
        with self._guard:
            if not self._spares:
                self._spares.append(_start())

    def close(self) -> None:
        """End the waiting process."""
        with self._guard:
            _end_all(self._spares)

    @contextmanager
    def _turn(self, tenant_id: str) -> Iterator[None]:
        with self._guard:
            mine, all_of_them = self._running[tenant_id], self._running.total()
            if mine >= AT_ONCE_OF_ONE or all_of_them >= AT_ONCE:
                raise Overloaded("too many hunts run at once; wait for one", retry_after_s=5)
            self._running[tenant_id] += 1
        try:
            yield
        finally:
            with self._guard:
                self._running[tenant_id] -= 1
                if not self._running[tenant_id]:
                    del self._running[tenant_id]

    def _take(self) -> subprocess.Popen[bytes]:
        with self._guard:
            child = self._spares.pop() if self._spares else _start()
        if child.poll() is None:
            return child
        _end(child)
        return _start()


def _files(
    store: Store, db: Database, scope: Scope, limits: HuntLimits, span: tuple[int, int]
) -> dict[str, list[str]]:
    """Give the paths of the span's files, the small apart; the hunt's process names the span."""
    since_us, until_us = max(span[0], limits.since_us), min(span[1], limits.until_us)
    with db.app(scope) as tx:
        files = live_files(tx, scope.tenant_id, since_us, until_us)
    if len(files) > _FILES_MAX:
        raise InvalidInput(f"the query reads {len(files)} files; narrow its time")
    small, large = _sorted_out(files)
    paths = [str(path) for path in store.local([*large, *small])]
    return {"files": paths[: len(large)], "small": paths[len(large) :]}


def _sorted_out(files: list[Listed]) -> tuple[list[Listed], list[Listed]]:
    """Give the small files, as far as their events fit in memory, and all others."""
    small, large, left = [], [], _SMALL_IN_ALL
    for file in files:
        if file.events < _SMALL_EVENTS and file.events <= left:
            small.append(file)
            left -= file.events
        else:
            large.append(file)
    return small, large


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"MALLOC_ARENA_MAX": "2"},  # else 64 MiB of address space a thread
        start_new_session=True,
    )


def _end_all(children: list[subprocess.Popen[bytes]]) -> None:
    while children:
        _end(children.pop())


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
    child.wait()


class _Talk:
    """Hold the talk with one hunt's process, up to a little over the size limit of its answer."""

    def __init__(self, child: subprocess.Popen[bytes], limits: HuntLimits, give: Give) -> None:
        """Keep what is asked for files: `give((since_us, until_us))`."""
        self._child = child
        self._limits = limits
        self._give = give
        self._turns = 0
        self.files = 0

    def hold(self, request: bytes) -> bytes:
        """Send the request, give files as they are asked for, and give the answer."""
        child, limits = self._child, self._limits
        assert child.stdin is not None  # noqa: S101  both are pipes
        assert child.stdout is not None  # noqa: S101  both are pipes
        deadline = time.monotonic() + limits.wall_s
        answer = bytearray()
        os.set_blocking(child.stdin.fileno(), False)
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdin, selectors.EVENT_WRITE)
            ready.register(child.stdout, selectors.EVENT_READ)
            while len(answer) <= limits.size_bytes:
                for key, _ in ready.select(_left(deadline, limits)):
                    if key.fileobj is child.stdin:
                        request = _send(child, request)
                        if not request:
                            ready.unregister(child.stdin)
                        continue
                    piece = os.read(child.stdout.fileno(), 1 << 16)
                    if not piece:
                        return bytes(answer)
                    answer += piece
                    span = None if request else _span_of(answer)
                    if span is not None:
                        asked = time.monotonic()
                        request = self._answered(span)
                        answer.clear()
                        deadline += time.monotonic() - asked  # a copy's way here is not the query's
                        ready.register(child.stdin, selectors.EVENT_WRITE)
        return bytes(answer)

    def _answered(self, span: tuple[int, int]) -> bytes:
        self._turns += 1
        if self._turns > _TURNS_MAX:
            raise Unavailable("the hunt process asked for files without end; try again")
        paths = self._give(span)
        self.files = sum(map(len, paths.values()))
        return json.dumps(paths).encode() + b"\n"


def _left(deadline: float, limits: HuntLimits) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise InvalidInput(
            f"the query took longer than {limits.wall_s:g} s and was stopped; "
            "narrow its time or ask for less"
        )
    return left


def _span_of(answer: bytearray) -> tuple[int, int] | None:
    """Read the line that asks for files, if that is what stands there: always alone."""
    if not answer.startswith(b'{"span":') or not answer.endswith(b"\n") or len(answer) > _SPAN_MAX:
        return None
    said = next(_lines(bytes(answer)), {})
    span = [us for us in _list(said.get("span")) if isinstance(us, int)]
    if len(span) != 2:
        raise Unavailable("the hunt process answered nonsense; try again")
    return span[0], span[1]


def _send(child: subprocess.Popen[bytes], request: bytes) -> bytes:
    assert child.stdin is not None  # noqa: S101  a pipe
    try:
        return request[os.write(child.stdin.fileno(), request) :]
    except BrokenPipeError:
        return b""  # it died; its end of the answer says so


def _result(answer: bytes, limits: HuntLimits, files: int, elapsed_ms: int) -> Result:
    head: dict[str, object] = {}
    rows: list[tuple[object, ...]] = []
    truncated, is_whole = "", False
    for said in _lines(answer):
        if "error" in said:
            raise _refusal(said, limits)
        if "columns" in said:
            head = said
        elif isinstance(said.get("rows"), list):
            rows += [tuple(row) for row in _list(said["rows"]) if isinstance(row, list)]
        is_whole = is_whole or "done" in said or "truncated" in said
        if "truncated" in said:
            truncated = f"only the first {limits.rows:,} rows are shown"
    if not is_whole and len(answer) > limits.size_bytes:
        truncated = f"cut after {len(rows):,} rows: the answer passed {limits.size_bytes:,} bytes"
    elif not is_whole:
        raise InvalidInput(
            "the query was stopped: it needed more memory or processor time than is allowed "
            f"({limits.memory_bytes >> 20} MiB, {limits.cpu_s} s)"
        )
    return Result(
        columns=tuple(str(name) for name in _list(head.get("columns"))),
        types=tuple(str(kind) for kind in _list(head.get("types"))),
        rows=tuple(rows[: limits.rows]),
        truncated=truncated,
        files=files,
        elapsed_ms=elapsed_ms,
        is_sandboxed=bool(head.get("landlock")),
    )


def _lines(answer: bytes) -> Iterator[dict[str, object]]:
    for line in answer.split(b"\n")[:-1]:  # what has no line end was cut
        try:
            said = json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as e:
            raise Unavailable("the hunt process answered nonsense; try again") from e
        if isinstance(said, dict):
            yield said


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _refusal(said: dict[str, object], limits: HuntLimits) -> InvalidInput:
    if said["error"] == "memory":
        return InvalidInput(
            f"the query needed more than {limits.memory_bytes >> 20} MiB; ask for less at once"
        )
    return InvalidInput(f"the query cannot run: {said.get('message', '')}")
