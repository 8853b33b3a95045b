"""Hash files once: kept by inode, size and times of change, of which one cannot be set back."""

import errno
import hashlib
import os
import stat
from collections import OrderedDict
from typing import Final

LARGEST: Final = 64 << 20
"""A larger file is not hashed: it would hold up what comes after."""
_MOST: Final = 2048
_BITE: Final = 256 << 10
_Key = tuple[int, int, int, int, int]


class Hashes:
    """SHA-256 of files; the last 2,048 are kept."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[_Key, str] = OrderedDict()

    def of(self, path: str) -> str:
        """Give `SHA256=...` of a file, empty if it cannot be read or is over 64 MiB."""
        try:
            told = os.stat(path)  # noqa: PTH116  the hot way
        except OSError:
            return ""
        if not stat.S_ISREG(told.st_mode):
            return ""
        key = (told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size)
        found = self._known.get(key)
        if found is None:
            found = "" if told.st_size > LARGEST else hash_file(path)
            self._known[key] = found
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found


def hash_file(path: str) -> str:
    """Give `SHA256=...` of a regular file of at most 64 MiB, empty if it cannot be read."""
    try:
        handle = _opened(path)
    except OSError:
        return ""
    with os.fdopen(handle, "rb", buffering=0) as file:
        digest, left = hashlib.sha256(), LARGEST
        try:
            while piece := file.read(_BITE):
                left -= len(piece)
                if left < 0:
                    return ""
                digest.update(piece)
        except OSError:
            return ""
    return "SHA256=" + digest.hexdigest().upper()


def _opened(path: str) -> int:
    """Open a regular file; OSError for a device or a pipe, which who owns the name may put there.

    It is seen before it is opened, and is no other then: of some devices (`/dev/watchdog`) the
    opening alone does something.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.EINVAL, "no regular file", path)
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(place)
