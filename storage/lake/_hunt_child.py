"""Run one user's query and die: the inside of a hunt, a process of its own.

Started by `storage.lake.hunt` as a plain script (it imports nothing of ours, so that it starts
fast and holds no secret). It reads one request from standard input, shuts itself in, opens DuckDB,
asks for the files of the time that the query's own words leave to be read, answers on standard
output as JSON lines and ends. The order matters: Landlock must stand before
DuckDB starts its threads, the configuration lock before the user's words are run.
"""

import contextlib
import ctypes
import json
import os
import re
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
_LOCK: Final = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
# What DuckDB reads when it connects; without it, it aborts. Never all of /proc: that is everybody.
_SYSTEM: Final = ("/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu")


def main() -> None:
    """Answer one request: {sql, folder, columns, since_us, until_us, limits...}; ask for files."""
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
        for answer in _tried(request, locked):
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


def _tried(request: dict[str, Any], locked: int) -> Iterator[dict[str, Any]]:
    """Answer from the files of the query's own time; from all, if these lack a column it names.

    A file has the columns that its events fill.
    """
    whole = (int(request["since_us"]), int(request["until_us"]))
    span = _span(request["sql"], whole)
    if span != whole:
        answers = _answers(request | _ask_for(span), locked)
        with contextlib.suppress(duckdb.BinderException):
            yield next(answers)
            yield from answers
            return
    yield from _answers(request | _ask_for(whole), locked)


def _ask_for(span: tuple[int, int]) -> dict[str, Any]:
    _say(sys.stdout.buffer, {"span": list(span)})
    sys.stdout.buffer.flush()
    return dict(json.loads(sys.stdin.buffer.readline()))


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


_SLACK_US: Final = 60_000_000
"""How far a time in the query may move until it runs: now() does."""
_PLAIN: Final = frozenset(
    ["now", "get_current_timestamp", "current_timestamp", "today", "current_date"]
    + ["trunc", "+", "-"]
    + [f"to_{unit}" for unit in ("years", "months", "weeks", "days", "hours", "minutes", "seconds")]
)
"""Functions that a time in the query may be made of to be worked out ahead."""
_SHORT_US: Final = 2 * 86_400_000_000
_WORTH: Final = re.compile(r"\bwhere\b.*\b(time|event_id)\b", re.IGNORECASE | re.DOTALL)
_OUR_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_EVALUATE: Final = "SELECT epoch_us(CAST(NULL AS TIMESTAMPTZ))"


def _span(sql: str, whole: tuple[int, int]) -> tuple[int, int]:
    """Give the time (UTC µs) outside of which the query's own WHERE leaves no event.

    Only of one plain SELECT from `events`, from conditions joined by AND; else `whole`. Not worth
    its 25 ms where the time is short already.
    """
    if whole[1] - whole[0] <= _SHORT_US or not _WORTH.search(sql):
        return whole
    with duckdb.connect(":memory:") as planner:
        for setting in ("SET TimeZone = 'UTC'", "SET threads = 1", *_LOCK):
            planner.execute(setting)
        try:
            told = _serialized(planner, sql)["statements"][0]["node"]
            if not _is_plain(told):
                return whole
            where = told["where_clause"]
            parts = where["children"] if where["type"] == "CONJUNCTION_AND" else [where]
            names = {"events", told["from_table"]["alias"].lower()}
            spans = [_bounds(planner, part, names) for part in parts]
        except (duckdb.Error, LookupError, TypeError, ValueError, AttributeError, RecursionError):
            return whole  # the query itself will say what is wrong with it
    since = max([whole[0], *(low for low, _ in spans)])
    return since, max(since, min([whole[1], *(high for _, high in spans)]))


def _serialized(planner: Any, sql: str) -> Any:  # noqa: ANN401  duckdb is not typed
    return json.loads(planner.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0])


def _is_plain(node: dict[str, Any]) -> bool:
    """Say whether this reads `events` once, at its top, and nothing reads tables by functions."""
    source = node["from_table"]
    text = json.dumps(node).lower()
    return (
        node["type"] == "SELECT_NODE"
        and not node["cte_map"]["map"]
        and source["type"] == "BASE_TABLE"
        and source["table_name"].lower() == "events"
        and not source["sample"]
        and text.count('"table_name": "events"') == 1
        and '"table_function"' not in text
    )


def _bounds(planner: Any, part: dict[str, Any], names: set[str]) -> tuple[int, int]:  # noqa: ANN401  duckdb is not typed
    """Give the times that one condition leaves: of `time` or of an event's id, which begins so."""
    low, high = -(1 << 62), 1 << 62
    kind = part["type"]
    if kind == "COMPARE_BETWEEN" and _column(part["input"], names) == "time":
        lower, upper = _moment(planner, part["lower"]), _moment(planner, part["upper"])
        return (
            low if lower is None else lower - _SLACK_US,
            high if upper is None else upper + _SLACK_US,
        )
    if kind == "COMPARE_IN" and _column(part["children"][0], names) == "event_id":
        return _of_ids([_literal(one) for one in part["children"][1:]]) or (low, high)
    if not kind.startswith("COMPARE_"):
        return low, high
    column, other, is_turned = _column(part["left"], names), part["right"], False
    if not column:
        column, other, is_turned = _column(part["right"], names), part["left"], True
    if column == "event_id" and kind == "COMPARE_EQUAL":
        return _of_ids([_literal(other)]) or (low, high)
    us = _moment(planner, other) if column == "time" else None
    if us is None:
        return low, high
    is_least = kind.startswith("COMPARE_GREATERTHAN")
    is_most = kind.startswith("COMPARE_LESSTHAN")
    if is_turned:
        is_least, is_most = is_most, is_least
    if kind == "COMPARE_EQUAL":
        is_least = is_most = True
    return (us - _SLACK_US if is_least else low), (us + _SLACK_US if is_most else high)


def _column(node: dict[str, Any], names: set[str]) -> str:
    if node["type"] != "COLUMN_REF":
        return ""
    *table, column = (name.lower() for name in node["column_names"])
    return column if not table or (len(table) == 1 and table[0] in names) else ""


def _literal(node: dict[str, Any]) -> str:
    return str(node["literal"]["text"]) if node["type"] == "VALUE_CONSTANT" else ""


def _of_ids(ids: list[str]) -> tuple[int, int] | None:
    """Give the time that events of these ids are of; None if one is not of our making."""
    found = [_OUR_ID.fullmatch(one) for one in ids]
    moments = [int(m[1] + m[2], 16) * 1000 for m in found if m]
    if len(moments) < len(ids) or not all(moments):  # 0: of before 1970
        return None
    return min(moments) - 2000, max(moments) + 2000


def _moment(planner: Any, node: dict[str, Any]) -> int | None:  # noqa: ANN401  duckdb is not typed
    """Work out a time that no event takes part in; None if it is not so plain."""
    if not _is_fixed(node):
        return None
    frame = _serialized(planner, _EVALUATE)
    outer = frame["statements"][0]["node"]["select_list"][0]["arguments"][0]
    outer["expression"]["child"] = node
    made = planner.execute("SELECT json_deserialize_sql(?)", [json.dumps(frame)]).fetchone()[0]
    found = planner.execute(made).fetchone()[0]
    return None if found is None else int(found)


def _is_fixed(node: dict[str, Any]) -> bool:
    kind = node["class"]
    if kind == "CONSTANT":
        return True
    if kind == "CAST":
        return _is_fixed(node["child"])
    if kind == "FUNCTION" and node["function_name"].lower() in _PLAIN:
        return all(_is_fixed(one["expression"]) for one in node["arguments"])
    return False


def _prepare(connection: Any, request: dict[str, Any]) -> None:  # noqa: ANN401  duckdb is not typed
    paths = _quoted(request["files"] + request["small"])
    settings = [
        "SET TimeZone = 'UTC'",
        f"SET threads = {int(request['threads'])}",
        f"SET memory_limit = '{int(request['memory_bytes']) // 2 >> 20}MB'",
        "SET temp_directory = ''",
        "SET max_temp_directory_size = '0KB'",
        "SET parquet_metadata_cache = true",  # else each mention of events opens every file twice
        f"SET allowed_paths = [{paths}]",
        *_LOCK,
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
