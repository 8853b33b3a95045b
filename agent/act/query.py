"""Answer a question from a fixed list of tables; there is no other way to ask, and no shell."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from agent.act import Host, Refuses, Told
from agent.collect.linux import _proc, _sockdiag, accounts, packages
from agent.collect.linux._hashes import hash_file

KIND: Final = "query"
MOST_ROWS: Final = 1000
MOST_BYTES: Final = 250_000
Row = dict[str, Any]


def plan(arguments: Told, _host: Host) -> Told:
    """Say what would be answered."""
    table, _path, limit = _asked(arguments)
    return {"table": table, "most_rows": limit}


def _asked(arguments: Told) -> tuple[str, str, int]:
    table, limit = str(arguments.get("table")), arguments.get("limit", 500)
    if table not in TABLES:
        raise Refuses(f"there is no table {table[:40]!r}; there are {', '.join(TABLES)}")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise Refuses(f"limit: 1 to {MOST_ROWS}")
    path = str(arguments.get("path") or "")
    names = path.split("/")[1:]
    if table == "files" and (not path.startswith("/") or set(names) & {"..", "."}):
        raise Refuses("path: absolute, without '..'")
    return table, path, limit


def do(_id: str, arguments: Told, _host: Host) -> Told:
    """Give the rows, as many as were asked for and fit; `is_cut` says that there are more."""
    table, path, limit = _asked(arguments)
    rows: list[Row] = []
    size, is_cut = 0, False
    for row in islice(TABLES[table](path), limit + 1):
        size += len(json.dumps(row)) + 1
        is_cut = len(rows) >= limit or size > MOST_BYTES
        if is_cut:
            break
        rows.append(row)
    return {"table": table, "rows": rows, "is_cut": is_cut}


def _processes(_path: str) -> Iterator[Row]:
    for pid in _proc.pids():
        seen = _proc.read(pid)
        if seen is not None:
            yield {
                "pid": pid,
                "ppid": seen.ppid,
                "uid": seen.uid_text,
                "user": _proc.user_name(seen.uid),
                "program": seen.path[:500],
                "cmd_line": (seen.cmd_line or "")[:1000],
            }


def _sockets(_path: str) -> Iterator[Row]:
    for sock in _sockdiag.sockets():
        yield {
            "proto": sock.proto,
            "state": _sockdiag.STATES.get(sock.state, str(sock.state)),
            "local": f"{sock.here}:{sock.here_port}",
            "remote": f"{sock.there}:{sock.there_port}",
            "user": _proc.user_name(sock.uid),
        }


def _users(_path: str) -> Iterator[Row]:
    for name, told in sorted(accounts.users().items()):
        uid, gid, home, shell = told.split(":", 3)
        yield {"name": name, "uid": uid, "gid": gid, "home": home, "shell": shell}


def _packages(_path: str) -> Iterator[Row]:
    for name, told in sorted(packages.installed().items()):
        yield {"name": name, "version": told}


def _files(path: str) -> Iterator[Row]:
    """Give one file, with its hash, or what lies in a folder."""
    try:
        told = Path(path).lstat()
    except OSError as wrong:
        raise Refuses(f"{path}: {wrong.strerror}") from None
    if not stat.S_ISDIR(told.st_mode):
        yield {**_file(path, told), "sha256": hash_file(path).removeprefix("SHA256=").lower()}
        return
    with os.scandir(path) as found:
        for entry in found:
            yield _file(entry.path, entry.stat(follow_symlinks=False))


def _file(path: str, told: os.stat_result) -> Row:
    row = {
        "path": path.encode("utf-8", "replace").decode(),
        "mode": stat.filemode(told.st_mode),
        "user": _proc.user_name(told.st_uid),
        "size_bytes": told.st_size,
        "changed_us": told.st_mtime_ns // 1000,
    }
    if stat.S_ISLNK(told.st_mode):
        row["link"] = os.readlink(path)  # noqa: PTH115  a text, as the others
    return row


TABLES: Final[dict[str, Callable[[str], Iterator[Row]]]] = {
    "processes": _processes,
    "sockets": _sockets,
    "users": _users,
    "packages": _packages,
    "files": _files,
}
