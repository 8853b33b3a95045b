"""Follow a log file through growth, rotation and truncation, whole lines only."""

import contextlib
import errno
import gzip
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from agent.system import NO_LINK, NO_WAIT, OURS_ALONE, TO_BYTES, own_account

MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 256 << 10
TAIL: Final = 256
"""Bytes before a place that say whether it is still the same file's."""
MOST_BESIDE: Final = 20
MOST_PACKED: Final = 64 << 20
"""A packed file is unpacked from its start at each look: no further than this."""
MOST_UNPACKED: Final = 4 << 20
MOST_PACKED_TRIED: Final = 3
_S: Final = 1_000_000_000
_A_DAY: Final = 10_000_000
"""A number in a name from here on is a date, not a count."""
_BROKEN: Final = (OSError, EOFError, zlib.error)
Notes = dict[str, Any]
Handle = BinaryIO | gzip.GzipFile


def follow(
    path: Path, notes: Notes, lost: Callable[[str], None] = lambda _: None
) -> tuple[list[bytes], Notes]:
    """Give the complete lines after the notes' place (inode, offset), and the new place.

    A file replaced under its name is read on to its end first, if it lies beside it under a name
    that begins alike (as `a.log.1`), packed by gzip too. So are those that came after it, in order.
    So is the copy of one that was copied and emptied; the emptied one is read from its start, also
    where it has grown past the place since: the bytes before the place are compared. A last line
    without an end is taken when the next file has begun. A line over 256 KiB comes in pieces.
    `lost` is told where the rest of a file cannot be read any more.
    """
    for _ in range(MOST_BESIDE):
        if "inode" not in notes:
            return _read(path, notes)
        at, notes = _place(path, notes)
        if at == path:
            return _read(path, notes)
        if at is not None:
            lines, place = _read(at, notes)
            if lines:
                return lines, place
        elif _is_same(path, notes):  # emptied, and no copy of it is there
            lost(_missing(path, notes))
            return _read(path, {})
        after = _next(path, notes, at)
        if after is None:
            return [], notes
        last = _rest(at, notes) if at is not None else []
        if at is None:
            lost(_missing(path, notes))
        notes = _begin(after)
        if last:
            return last, notes
    return [], notes


def _is_same(path: Path, notes: Notes) -> bool:
    try:
        return bool(path.stat().st_ino == notes["inode"])
    except OSError:
        return False


def _missing(path: Path, notes: Notes) -> str:
    text = f"{path}: of the file that had this name before {notes['offset']} bytes were read; what"
    text += " came after them may be missing: it was emptied, taken away, or packed with over"
    return text + f" {MOST_PACKED >> 20} MB"


def _place(path: Path, notes: Notes) -> tuple[Path | None, Notes]:
    """Find the file of the notes: under its name, beside it, or as a copy; None if it is gone."""
    if _has_tail(path, notes, is_same=True):
        return path, notes
    beside = _beside(path)
    for one in beside:
        if one.inode == notes["inode"] and ("tail" not in notes or _has_tail(one.path, notes)):
            return one.path, notes
    if not notes["offset"] or "tail" not in notes or not path.exists():
        return None, notes
    plain = [one for one in reversed(beside) if not one.is_packed]
    packed = [o for o in beside if o.is_packed and o.changed_ns >= notes.get("changed_ns", 0) - _S]
    for one in (*plain, *packed[:MOST_PACKED_TRIED]):
        if _has_tail(one.path, notes):
            return one.path, {**notes, "inode": one.inode}
    return None, notes


class _Beside(NamedTuple):
    """A file beside the log whose name begins alike; in the order in which they were written."""

    changed_ns: int
    number: int
    path: Path
    inode: int

    @property
    def is_packed(self) -> bool:
        return self.path.suffix == ".gz"


def _beside(path: Path) -> list[_Beside]:
    """Give the files beside it, the oldest first, the youngest 20 of them."""
    begin, found = path.name.split(".", 1)[0], list[_Beside]()
    try:
        with os.scandir(path.parent) as entries:
            for entry in entries:
                if (
                    entry.name.startswith(begin)
                    and entry.name != path.name
                    and entry.is_file(follow_symlinks=False)
                ):
                    told = entry.stat(follow_symlinks=False)
                    number = _number(entry.name)
                    # Windows tells the inode only by a look of its own.
                    inode = told.st_ino or Path(entry.path).stat().st_ino
                    found.append(_Beside(told.st_mtime_ns, number, Path(entry.path), inode))
    except OSError:
        return []
    return sorted(found)[-MOST_BESIDE:]


def _number(name: str) -> int:
    """Give a rotated file's place in the order of its name: `.2` is older than `.1`; days grow."""
    found = re.search(r"[-._](\d+)(?:\D*)$", name.removesuffix(".gz"))
    number = int(found[1][:14]) if found else 0
    return number if number > _A_DAY else -number


def _next(path: Path, notes: Notes, at: Path | None) -> Path | None:
    """Give the file that was written after that of the notes; None while there is none."""
    beside = _beside(path)
    here = next((one for one in beside if one.path == at), None)
    changed_ns, names = notes.get("changed_ns"), {one.path.name for one in beside}
    for one in beside:
        name = one.path.name
        is_twice = one.is_packed and name.removesuffix(".gz") in names  # it is being packed
        if is_twice or not _is_rotated(path.name, name):
            continue
        if one > here if here else changed_ns is not None and one.changed_ns > changed_ns:
            return one.path
    try:
        return path if path.stat().st_size else None
    except OSError:
        return None


def _is_rotated(name: str, other: str) -> bool:
    """Answer whether the other is a rotated file of the log, not another log."""
    stem, dot, end = name.rpartition(".")
    ends = rf"(?:{re.escape(dot + end)})?" if stem else ""
    pattern = rf"{re.escape(stem or name)}{ends}[-._]\d[-_.T\d]*{ends}(?:\.gz)?"
    return re.fullmatch(pattern, other) is not None


def _begin(path: Path) -> Notes:
    """Give the place at the beginning of a file."""
    told = path.stat()
    return {
        "inode": told.st_ino,
        "device": told.st_dev,
        "offset": 0,
        "tail": hashlib.sha256(b"").hexdigest()[:32],
        "changed_ns": told.st_mtime_ns,
    }


def _has_tail(path: Path, notes: Notes, is_same: bool = False) -> bool:
    """Answer whether the bytes before the place are those that were read.

    `is_same`: and it is the very file of the notes.
    """
    try:
        with _unpacked(path) as (handle, told):
            if is_same and told.st_ino != notes["inode"]:
                return False
            if is_same and notes.get("device", told.st_dev) != told.st_dev:
                return False
            if "tail" not in notes:
                return is_same
            if path.suffix == ".gz" and notes["offset"] > MOST_PACKED:
                return False
            return bool(_tail(handle, int(notes["offset"])) == notes["tail"])
    except _BROKEN:
        return False


def _tail(handle: Handle, offset: int) -> str:
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


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Handle, os.stat_result]]:
    """Open a regular file, through gzip where it is packed."""
    with _opened(path) as handle:
        told = os.fstat(handle.fileno())
        if path.suffix != ".gz":
            yield handle, told
            return
        with gzip.GzipFile(fileobj=handle) as packed:
            yield packed, told


def _read(path: Path, notes: Notes) -> tuple[list[bytes], Notes]:
    try:
        with _unpacked(path) as (handle, told):
            return _lines(handle, told, notes, path.suffix == ".gz")
    except FileNotFoundError:
        return [], notes
    except _BROKEN:
        if path.suffix != ".gz":
            raise
        return [], notes


def _lines(
    handle: Handle, told: os.stat_result, notes: Notes, is_packed: bool
) -> tuple[list[bytes], Notes]:
    same = notes.get("inode") == told.st_ino and notes.get("device", told.st_dev) == told.st_dev
    offset = int(notes.get("offset", 0)) if same else 0
    if offset > told.st_size and not is_packed:
        offset = 0
    if is_packed and offset > MOST_PACKED:
        return [], notes
    handle.seek(offset)
    data = handle.read(MOST_UNPACKED if is_packed else MOST_BYTES)
    end = _whole(data)
    if not end:
        return [], notes
    place: Notes = {
        "inode": told.st_ino,
        "device": told.st_dev,
        "offset": offset + end,
        "changed_ns": told.st_mtime_ns,
    }
    place["tail"] = _tail(handle, offset + end)
    return _pieces(data[:end]), place


def _rest(path: Path, notes: Notes) -> list[bytes]:
    """Give the last line of a file that nobody writes to any more, though it has no end."""
    try:
        with _unpacked(path) as (handle, _):
            handle.seek(int(notes["offset"]))
            return _pieces(handle.read(LONGEST_LINE))
    except _BROKEN:
        return []


def _pieces(data: bytes) -> list[bytes]:
    """Give the lines; a long one in pieces."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if max(map(len, lines), default=0) <= LONGEST_LINE:
        return lines
    return [
        line[at : at + LONGEST_LINE] for line in lines for at in range(0, len(line), LONGEST_LINE)
    ]


def _whole(data: bytes) -> int:
    end = data.rfind(b"\n") + 1
    if end == 0:
        end = len(data) - len(data) % LONGEST_LINE
    return end
