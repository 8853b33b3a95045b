"""Look for copies of blocked programs where programs lie: once a block, bounded, and slowly.

Who only waits for a copy to be started has to let its first start happen. A tenth of a core at
most, so many files and bytes a folder; what is not found is ended as it starts.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.act._programs import LARGEST, MOUNTS, Place, digest_of, far, far_points, key_of, root

FOLDERS: Final = (
    *("tmp", "var/tmp", "dev/shm", "run/user", "home", "root", "opt", "srv", "usr/local"),
    *("usr/bin", "usr/sbin", "bin", "sbin", "usr/libexec", "usr/lib", "var/www"),
)
MOST_ENTRIES: Final = 50_000
MOST_BYTES: Final = 1 << 30
"""Both for each folder."""
DEEPEST: Final = 12
PAUSE: Final = 9.0
"""Seconds of rest for each second of work."""
_AT_ONCE_S: Final = 0.02
_MOST_KNOWN: Final = 20_000
_SALT: Final = os.urandom(16)


class Looked(NamedTuple):
    """What a look came to. `is_cut`: a folder had more than is looked at."""

    files: int
    hashed: int
    size_bytes: int
    found: int
    is_cut: bool


class Known:
    """Beginnings of hashes by a mark of inode and times: 150 bytes a file, 20,000 files."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[int, int] = {}

    def of(self, handle: int, told: os.stat_result) -> int:
        """Give the first eight bytes of the file's SHA-256."""
        key = repr(key_of(told)).encode()
        mark = int.from_bytes(hashlib.blake2b(key, digest_size=8, key=_SALT).digest())
        found = self._known.get(mark)
        if found is None:
            found = self._known[mark] = beginning(digest_of(handle, told.st_size))
            if len(self._known) > _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))
        return found


def beginning(sha256: str) -> int:
    """Give a hash's first eight bytes as a number.

    >>> beginning("00000000000000ff" + 48 * "0")
    255
    """
    return int(sha256[:16], 16)


class Search:
    """One look, in a thread of its own. `found` is given each copy while it is open."""

    def __init__(
        self,
        blocked: frozenset[str],
        sizes: Callable[[], dict[str, int]],
        found: Callable[[int, Place, str], bool],
        known: Known,
        folders: tuple[str, ...] = (),
    ) -> None:
        """Begin it."""
        self._blocked, self._sizes, self._found, self._known = blocked, sizes, found, known
        self._beginnings = {beginning(one) for one in blocked}
        self._folders = folders or tuple(f"{root()}/{name}" for name in FOLDERS)
        self._stop = threading.Event()
        self._far, points = far(), far_points(Path("/proc/1/mountinfo" if root() else MOUNTS))
        self._away = {root() + point for point in points}
        self._worked_s = 0.0
        self.looked = Looked(0, 0, 0, 0, False)
        self._thread = threading.Thread(target=self._look, name="copies", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Answer whether it has looked at all that it will."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join(5)

    def _look(self) -> None:
        for folder in self._folders:
            left = MOST_BYTES
            for entries, (path, told) in enumerate(self._files(folder), 1):
                if self._stop.is_set():
                    return
                if entries > MOST_ENTRIES or left <= 0:
                    self.looked = self.looked._replace(is_cut=True)
                    break
                began_s = time.monotonic()
                if self._is_wanted(told):
                    left -= self._one(path)
                self._rest(time.monotonic() - began_s)

    def _rest(self, worked_s: float) -> None:
        self._worked_s += worked_s + 2e-5  # what finding it took
        if self._worked_s > _AT_ONCE_S:
            self._stop.wait(self._worked_s * PAUSE)
            self._worked_s = 0.0

    def _files(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        waiting = [(folder, 0)]
        while waiting:
            place, depth = waiting.pop()
            try:
                with os.scandir(place) as found:
                    for entry in found:
                        if entry.path in self._away:  # not even to be asked what it is
                            continue
                        told = entry.stat(follow_symlinks=False)
                        if told.st_dev in self._far:
                            continue
                        if stat.S_ISDIR(told.st_mode) and depth < DEEPEST:
                            waiting.append((entry.path, depth + 1))
                        yield entry.path, told
            except OSError:  # gone meanwhile, or not for us
                continue

    def _is_wanted(self, told: os.stat_result) -> bool:
        """Answer whether it may be run and be one of them; a copy that was seen gives its size."""
        self.looked = self.looked._replace(files=self.looked.files + 1)
        if not stat.S_ISREG(told.st_mode) or not told.st_mode & 0o111:
            return False
        sizes = self._sizes()
        if all(sha256 in sizes for sha256 in self._blocked):
            return told.st_size in {sizes[sha256] for sha256 in self._blocked}
        return 0 < told.st_size <= LARGEST

    def _one(self, path: str) -> int:
        """Look at a file; give how many bytes that took."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(path, flags)
        except OSError:
            return 0
        try:
            told = os.fstat(handle)
            if not stat.S_ISREG(told.st_mode) or told.st_size > LARGEST:
                return 0
            self._judge(handle, told)
        except OSError:
            return 0
        finally:
            os.close(handle)
        return told.st_size

    def _judge(self, handle: int, told: os.stat_result) -> None:
        was = self.looked
        self.looked = was._replace(hashed=was.hashed + 1, size_bytes=was.size_bytes + told.st_size)
        if self._known.of(handle, told) not in self._beginnings:
            return
        sha256 = digest_of(handle, told.st_size)
        if sha256 in self._blocked and self._found(handle, (told.st_dev, told.st_ino), sha256):
            self.looked = self.looked._replace(found=self.looked.found + 1)
