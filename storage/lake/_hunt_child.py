"""Run one user's query and die: the inside of a hunt, a process of its own.

Started by `storage.lake.hunt` as a plain script (it imports nothing of ours, so that it starts
fast and holds no secret). It reads one request from standard input, shuts itself in, opens DuckDB,
answers on standard output as JSON lines and ends. The order matters: Landlock must stand before
DuckDB starts its threads, the configuration lock before the user's words are run.
"""

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

import duckdb
import pyarrow as pa  # noqa: F401  fetched batches need it, and nothing can be imported later

_READ: Final = 1 << 2 | 1 << 3  # LANDLOCK_ACCESS_FS_READ_FILE | _READ_DIR
_LINE_ROWS: Final = 16  # a line is whole or cut away
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
# What DuckDB reads when it connects; without it, it aborts. Never all of /proc: that is everybody.
_SYSTEM: Final = ("/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu")


def main() -> None:
    """Answer one request: {sql, files, small, folder, columns, since_us, until_us, limits...}."""
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the house closed; nobody asks any more
    request = json.loads(line)
    out = sys.stdout.buffer
    with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError):
        zoneinfo.ZoneInfo("UTC")  # kept by its cache; no file can be opened later
    locked = _shut_in([request["folder"], *_SYSTEM])
    _limit(request)
    try:
        for answer in _answers(request, locked):
            _say(out, answer)
    except MemoryError:
        _say(out, {"error": "memory"})
    except duckdb.OutOfMemoryException:
        _say(out, {"error": "memory"})
    except duckdb.Error as e:
        _say(out, {"error": "query", "message": str(e)[:2000]})
    except Exception as e:  # noqa: BLE001  the process's last line: the parent gets a sentence
        _say(out, {"error": "query", "message": f"{type(e).__name__}: {e}"[:2000]})
    out.flush()
    os._exit(0)  # DuckDB's threads may still be busy


def _say(out: BinaryIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer, default=_plain, allow_nan=True).encode() + b"\n")


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _answers(request: dict[str, Any], locked: int) -> Iterator[dict[str, Any]]:
    connection = duckdb.connect(":memory:", config={"allow_unsigned_extensions": "false"})
    _prepare(connection, request)
    # A relation streams; execute() would hold the whole answer.
    reader = connection.sql(_only_select(connection, request["sql"])).to_arrow_reader(1024)
    yield {
        "columns": reader.schema.names,
        "types": [str(kind) for kind in reader.schema.types],
        "landlock": locked,
    }
    left = request["rows"]
    for batch in reader:
        names = [str(i) for i in range(batch.num_columns)]  # names may repeat
        rows = batch.slice(0, left).rename_columns(names).to_pylist()
        for at in range(0, len(rows), _LINE_ROWS):
            piece = rows[at : at + _LINE_ROWS]
            yield {"rows": [[_cell(row[name]) for name in names] for row in piece]}
        if batch.num_rows > left:
            yield {"truncated": "rows"}
            return
        left -= batch.num_rows
    yield {"done": True}


def _cell(value: Any) -> Any:  # noqa: ANN401  any DuckDB value
    if isinstance(value, int) and abs(value) > 1 << 53:
        return str(value)  # a browser would round it
    return value


def _only_select(connection: Any, sql: str) -> Any:  # noqa: ANN401  duckdb is not typed
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise duckdb.InvalidInputException("a hunt is one SELECT statement over 'events'")
    return statements[0]


def _prepare(connection: Any, request: dict[str, Any]) -> None:  # noqa: ANN401  duckdb is not typed
    paths = _quoted(request["files"] + request["small"])
    settings = [
        "SET TimeZone = 'UTC'",
        f"SET threads = {int(request['threads'])}",
        f"SET memory_limit = '{int(request['memory_bytes']) // 2 >> 20}MB'",
        "SET temp_directory = ''",
        "SET max_temp_directory_size = '0KB'",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET allow_community_extensions = false",
        "SET python_enable_replacements = false",
        "SET parquet_metadata_cache = true",  # else each mention of events opens every file twice
        f"SET allowed_paths = [{paths}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ]
    for setting in settings:
        connection.execute(setting)
    _show_events(connection, request)


def _show_events(connection: Any, request: dict[str, Any]) -> None:  # noqa: ANN401  duckdb is not typed
    """Give the view `events`: what lies in many small files is read once, ahead of the query."""
    since, until = _time(request["since_us"]), _time(request["until_us"])
    inside = f"time >= TIMESTAMPTZ '{since}' AND time < TIMESTAMPTZ '{until}'"
    parts = []
    if request["small"]:
        source = _parquet(request["small"])
        connection.execute(f"CREATE TABLE events_small AS SELECT * FROM {source} WHERE {inside}")  # noqa: S608  our own paths, quoted
        parts.append("SELECT * FROM events_small")
    if request["files"]:
        parts.append(f"SELECT * FROM {_parquet(request['files'])} WHERE {inside}")  # noqa: S608  our own paths, quoted
    if parts:
        connection.execute("CREATE VIEW events AS " + " UNION ALL BY NAME ".join(parts))
    else:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in request["columns"].items())
        connection.execute(f"CREATE TABLE events ({columns})")


def _parquet(paths: list[str]) -> str:
    return f"read_parquet([{_quoted(paths)}], union_by_name = true, hive_partitioning = false)"


def _quoted(paths: list[str]) -> str:
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def _time(us: int) -> str:
    return str(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(us)))


def _limit(request: dict[str, Any]) -> None:
    cpu = int(request["cpu_s"])
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, int(request["memory_bytes"])),
    ):
        resource.setrlimit(what, (most, most))


def _shut_in(folders: list[str]) -> int:
    """Leave this process only the right to read these folders; give Landlock's version, 0 = none.

    Also takes TCP, signals to others and every way to gain rights. On a kernel without Landlock
    DuckDB's own lock and the limits remain, and the answer says so.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: no other process of this user may look in
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    version = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if version < 1:
        return 0
    rights = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):
        rights |= (1 << bit) if version >= since else 0
    attribute = struct.pack("<Q", rights)
    if version >= 4:
        attribute += struct.pack("<Q", 0b11)  # bind and connect TCP
    if version >= 6:
        attribute += struct.pack("<Q", 0b11)  # abstract Unix sockets, signals
    ruleset = int(
        libc.syscall(
            _CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint32(0)
        )
    )
    if ruleset < 0:
        return 0
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112  pathlib would be one more import
            continue
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("<Qi", _READ, handle)
        libc.syscall(_ADD_RULE, ruleset, 1, rule, ctypes.c_uint32(0))
        os.close(handle)
    if libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
        return 0
    os.close(ruleset)
    return version


if __name__ == "__main__":
    main()
