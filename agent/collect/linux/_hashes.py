"""Hash files once: kept by inode, size and time of change."""

import hashlib
import os
from collections import OrderedDict
from typing import Final

LARGEST: Final = 64 << 20
"""A larger file is not hashed: it would hold up what comes after."""
_MOST: Final = 2048
_Key = tuple[int, int, int, int]


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
        key = (told.st_dev, told.st_ino, told.st_mtime_ns, told.st_size)
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
    """Give `SHA256=...` of a regular file's content, empty if it cannot be read."""
    try:
        # O_NONBLOCK: a pipe put where a file was must not stop the agent.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb", buffering=0) as file:
        try:
            return "SHA256=" + hashlib.file_digest(file, "sha256").hexdigest().upper()
        except (OSError, ValueError):
            return ""
