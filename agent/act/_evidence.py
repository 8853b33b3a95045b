"""Copy what is collected into the agent's folder, bounded, with its hash, until it is sent."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent.act import Host, Refuses, Told

FOLDER: Final = "evidence"
MOST_BYTES: Final = 64 << 20
_BITE: Final = 256 << 10


def opened(path: str, folder: Path) -> int:
    """Open a regular file by its path, through no link at all; Refuses what must not be read.

    The path is walked part by part: nobody can put a link in its way between a look and a read.
    """
    names = path.split("/")[1:]
    if not path.startswith("/") or not path.isprintable() or set(names) & {"", ".", ".."}:
        raise Refuses("path: absolute, without '..' and '.'")
    if names[0] in {"proc", "sys", "dev"}:
        raise Refuses(f"/{names[0]} has no files to collect")
    at = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for name in names[:-1]:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
            step = _step(name, flags, at, path)
            os.close(at)
            at = step
        # O_NONBLOCK: a pipe must not hold the agent up.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = _step(names[-1], flags, at, path)
    finally:
        os.close(at)
    try:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode):
            raise Refuses(f"{path} is no regular file")
        if (told.st_dev, told.st_ino) in _ours(folder):
            raise Refuses("what the agent keeps for itself is not collected")
    except BaseException:
        os.close(handle)
        raise
    return handle


def _step(name: str, flags: int, at: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=at)
    except OSError as wrong:
        where = ""
        with contextlib.suppress(OSError):
            where = f": '{name}' is a link to {os.readlink(name, dir_fd=at)}"
        raise Refuses(f"{path} cannot be taken{where or f': {wrong.strerror}'}") from None


def _ours(folder: Path) -> set[tuple[int, int]]:
    """Give what lies in the agent's folders: its key has other names too if it is linked."""
    found = set()
    for place in (folder, Path("/etc/inopsio-agent")):
        for base, _, names in os.walk(place):
            for name in names:
                try:
                    told = os.lstat(os.path.join(base, name))  # noqa: PTH118  as os.walk gives it
                except OSError:
                    continue
                found.add((told.st_dev, told.st_ino))
    return found


def keep(
    id: str, source: str, most: int, read: Callable[[int], bytes], detail: Told, host: Host
) -> Told:
    """Copy what `read` gives, until it gives nothing; Refuses what is larger than `most`."""
    place = host.folder / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    target = place / id
    digest, size = hashlib.sha256(), 0
    target.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(target, flags, 0o600), "wb") as out:
            while piece := read(_BITE):
                size += len(piece)
                if size > most:
                    raise Refuses(f"{source} has over {most} bytes")
                digest.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if not size:
        target.unlink()
        raise Refuses(f"{source} is empty")
    evidence = {
        "source": source,
        "size_bytes": size,
        "sha256": digest.hexdigest(),
        "at_us": int(host.now_s() * 1_000_000),
        "detail": detail,
    }
    return {"evidence": evidence}
