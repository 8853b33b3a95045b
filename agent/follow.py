"""Follow a log file through growth, rotation and truncation, whole lines only."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

from agent.system import NO_LINK, NO_WAIT, OURS_ALONE, TO_BYTES, own_account

MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 256 << 10
TAIL: Final = 256
"""Bytes before a place that say whether it is still the same file's."""
MOST_BESIDE: Final = 20


def follow(path: Path, notes: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
    """Give the complete lines after the notes' place (inode, offset), and the new place.

    A file replaced under its name is read on to its end first, if it lies beside it under a name
    that begins alike (as `a.log.1`). So is the copy of one that was copied and emptied; the emptied
    one is read from its start, also where it has grown past the place since: the bytes before the
    place are compared. A line over 256 KiB is cut there.
    """
    notes = _copied(path, notes)
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


def _copied(path: Path, notes: dict[str, Any]) -> dict[str, Any]:
    """Give the place in the copy, if the file was emptied and a copy of it lies beside it."""
    if "tail" not in notes or _has_tail(path, notes, is_same=True) is not False:
        return notes
    begin = path.name.split(".", 1)[0]
    try:
        with os.scandir(path.parent) as entries:
            found = [e for e in entries if e.name.startswith(begin) and e.name != path.name]
            beside = sorted(found, key=lambda e: -e.stat(follow_symlinks=False).st_mtime)
    except OSError:
        beside = []
    for entry in beside[:MOST_BESIDE]:
        if entry.is_file(follow_symlinks=False) and _has_tail(Path(entry.path), notes):
            return {**notes, "inode": entry.inode()}
    return {}


def _has_tail(path: Path, notes: dict[str, Any], is_same: bool = False) -> bool | None:
    """Answer whether the bytes before the place are those that were read; None if it is another.

    `is_same`: ask only if it is the very file of the notes.
    """
    try:
        with _opened(path) as handle:
            told = os.fstat(handle.fileno())
            if is_same and (told.st_ino, told.st_dev) != (notes["inode"], notes["device"]):
                return None
            return bool(_tail(handle, int(notes["offset"])) == notes["tail"])
    except OSError:
        return None


def _tail(handle: BinaryIO, offset: int) -> str:
    begin = max(0, offset - TAIL)
    handle.seek(begin)
    return hashlib.sha256(handle.read(offset - begin)).hexdigest()[:32]


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; OSError for a pipe, a device, or a link that is not root's or ours.

    The agent may read everything: whoever owns a log's folder must not choose what it reads.
    """
    flags = os.O_RDONLY | OURS_ALONE | NO_WAIT | TO_BYTES
    try:
        handle = os.open(path, flags | NO_LINK)
    except OSError as wrong:
        if wrong.errno != errno.ELOOP:
            raise
        if path.lstat().st_uid not in {0, own_account()}:
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
        if not data:
            return [], notes
        end = _whole(data)
        place: dict[str, Any] = {
            "inode": told.st_ino,
            "device": told.st_dev,
            "offset": offset + end,
        }
        place["tail"] = _tail(handle, offset + end)
    lines = [line[:LONGEST_LINE] for line in data[:end].split(b"\n") if line.strip()]
    return lines, place


def _whole(data: bytes) -> int:
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= LONGEST_LINE:
        end = LONGEST_LINE
    return end
