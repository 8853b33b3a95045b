"""Give the tables of this host that may be asked for; no other way to ask, and no shell."""

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from agent.collect.linux import _proc, _sockdiag, accounts, packages
from agent.collect.linux._hashes import hash_file
from agent.questions import MOST_BYTES, MOST_S, Asked

Row = dict[str, Any]


def answer(asked: Asked, most_bytes: int = MOST_BYTES) -> tuple[list[Row], bool]:
    """Give the rows, as many as were asked for and fit, and whether there are more.

    OSError where the path of `files` cannot be looked at.
    """
    rows: list[Row] = []
    size, end_s = 0, time.monotonic() + MOST_S
    for row in islice(TABLES[asked.table](asked.path), asked.limit + 1):
        row = {name: _text(value) for name, value in row.items()}
        size += len(json.dumps(row)) + 1
        if len(rows) >= asked.limit or size > most_bytes or time.monotonic() > end_s:
            return rows, True
        rows.append(row)
    return rows, False


def _text(value: object) -> object:
    """Give a text as UTF-8: a name on a disk is bytes, and may be none."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


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
    told = Path(path).lstat()
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
