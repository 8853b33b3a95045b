"""Take a copy of a regular file as evidence."""

import functools
import os
from typing import Final

from agent.act import Host, Refuses, Told, _evidence

KIND: Final = "collect"


def plan(arguments: Told, host: Host) -> Told:
    """Say how large the file is and whose."""
    path, most = _asked(arguments)
    handle = _evidence.opened(path, host.folder)
    try:
        told = _facts(handle)
    finally:
        os.close(handle)
    if told["size_bytes"] > most:
        raise Refuses(f"{path} has {told['size_bytes']} bytes; {most} were asked for")
    return {"path": path, **told}


def _asked(arguments: Told) -> tuple[str, int]:
    most = arguments.get("most_bytes", 16 << 20)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 < most <= _evidence.MOST_BYTES:
        raise Refuses(f"most_bytes: 1 to {_evidence.MOST_BYTES}")
    return str(arguments.get("path", "")), most


def _facts(handle: int) -> Told:
    told = os.fstat(handle)
    return {
        "size_bytes": told.st_size,
        "mode": f"{told.st_mode:o}",
        "uid": told.st_uid,
        "gid": told.st_gid,
        "changed_us": told.st_mtime_ns // 1000,
        "inode": told.st_ino,
    }


def do(id: str, arguments: Told, host: Host) -> Told:
    """Copy it; what is larger than asked for is not taken."""
    path, most = _asked(arguments)
    handle = _evidence.opened(path, host.folder)
    try:
        facts = _facts(handle)
        if facts["size_bytes"] > most:
            raise Refuses(f"{path} has {facts['size_bytes']} bytes; {most} were asked for")
        read = functools.partial(os.read, handle)
        told = _evidence.keep(id, path, most, read, facts, host)
        if _facts(handle) != facts:
            told["evidence"]["detail"] = {**facts, "changed_meanwhile": True}
        return told
    finally:
        os.close(handle)
