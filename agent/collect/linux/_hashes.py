"""Hash files once: kept by inode, size and times of change, of which one cannot be set back."""

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
        # O_NONBLOCK: a pipe put where a file was must not stop the agent.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb", buffering=0) as file:
        digest, left = hashlib.sha256(), LARGEST
        try:
            # Whoever owns the name may have put a device or a pipe there: those have no end.
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return ""
            while piece := file.read(_BITE):
                left -= len(piece)
                if left < 0:
                    return ""
                digest.update(piece)
        except OSError:
            return ""
    return "SHA256=" + digest.hexdigest().upper()
