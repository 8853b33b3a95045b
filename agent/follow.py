"""Follow a log file through growth, rotation and truncation, whole lines only."""

import errno
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 256 << 10


def follow(path: Path, notes: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
    """Give the complete lines after the notes' place (inode, offset), and the new place.

    A file replaced under its name is read on to its end first, if it lies beside it under a name
    that begins alike (as `a.log.1`); one that shrank is read from its start. A line over 256 KiB is
    cut there.
    """
    before = _moved(path, notes)
    if before is not None:
        lines, place = _read(before, notes)
        if lines:
            return lines, place
    return _read(path, notes)


def _moved(path: Path, notes: dict[str, Any]) -> Path | None:
    """Find the file of the notes where another one, or none yet, has its name."""
    if "inode" not in notes:
        return None
    try:
        if path.stat().st_ino == notes["inode"]:
            return None
    except FileNotFoundError:
        pass
    try:
        with os.scandir(path.parent) as entries:
            found = [e for e in entries if e.inode() == notes["inode"] and e.is_file()]
    except OSError:
        return None
    begin = path.name.split(".", 1)[0]
    return next((Path(e.path) for e in found if e.name.startswith(begin)), None)


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; OSError for a pipe, a device, or a link that is not root's or ours.

    The agent may read everything: whoever owns a log's folder must not choose what it reads.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW)
    except OSError as wrong:
        if wrong.errno != errno.ELOOP:
            raise
        if path.lstat().st_uid not in {0, os.geteuid()}:
            raise OSError(errno.ELOOP, "a link that is not root's", str(path)) from None
        handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(handle, "rb")


def _read(path: Path, notes: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
    try:
        handle = _opened(path)
    except FileNotFoundError:
        return [], notes
    with handle:
        told = os.fstat(handle.fileno())
        same = notes.get("inode") == told.st_ino and notes.get("device") == told.st_dev
        offset = int(notes.get("offset", 0)) if same else 0
        if offset > told.st_size:
            offset = 0
        handle.seek(offset)
        data = handle.read(MOST_BYTES)
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= LONGEST_LINE:
        end = LONGEST_LINE
    lines = [line[:LONGEST_LINE] for line in data[:end].split(b"\n") if line.strip()]
    place = {"inode": told.st_ino, "device": told.st_dev, "offset": offset + end}
    return lines, place
