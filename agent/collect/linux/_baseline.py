"""Remember what files were: size, time, rights, hash; say how a file differs from it."""

import itertools
import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from agent.collect.linux._hashes import LARGEST, hash_file

MOST_FILES: Final = 20_000
File = list[Any]
"""[size, changed ns, mode, uid, gid, hash, inode]: a list, because it is kept as JSON.

`changed` is the inode's time: unlike the content's, nobody can set it back."""
SIZE, TIME, MODE, UID, GID, HASH, INODE = range(7)


def look(path: str, known: File | None) -> File | None:
    """Look at a file; None if it is gone or no regular file. The hash is made anew if needed."""
    try:
        told = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISLNK(told.st_mode):
        try:
            target = "LINK=" + os.fsencode(os.readlink(path)).decode("utf-8", "replace")  # noqa: PTH115  bytes as they are
        except OSError:
            return None
        return [0, told.st_ctime_ns, told.st_mode, told.st_uid, told.st_gid, target, told.st_ino]
    if not stat.S_ISREG(told.st_mode):
        return None
    now = [told.st_size, told.st_ctime_ns, told.st_mode, told.st_uid, told.st_gid, "", told.st_ino]
    if known is not None and now[:2] == known[:2] and now[INODE] == known[INODE]:
        now[HASH] = known[HASH]
    elif told.st_size <= LARGEST:
        now[HASH] = hash_file(path)
    return now


def differs(before: File, after: File) -> str:
    """Say what differs: `content`, `rights`, or nothing. A time alone is no difference."""
    if before[HASH] != after[HASH] or before[SIZE] != after[SIZE]:
        return "content"
    if before[MODE : GID + 1] != after[MODE : GID + 1]:
        return "rights"
    return ""


def walk(roots: list[str], most: int = MOST_FILES) -> Iterator[tuple[str, bool]]:
    """Give (path, is a folder) of all below the roots, on their file systems, at most so many."""
    left = most
    for root in roots:
        if os.path.isfile(root):  # noqa: PTH113  bytes as they are
            yield root, False
            continue
        try:
            device = os.stat(root).st_dev  # noqa: PTH116  bytes as they are
        except OSError:
            continue
        waiting = [root]
        while waiting and left > 0:
            folder = waiting.pop()
            left -= 1
            yield folder, True
            try:
                with os.scandir(folder) as listed:
                    entries = list(itertools.islice(listed, max(left, 0)))
            except OSError:
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    try:
                        if entry.stat(follow_symlinks=False).st_dev == device:
                            waiting.append(entry.path)
                    except OSError:
                        continue
                else:
                    left -= 1
                    yield entry.path, False
