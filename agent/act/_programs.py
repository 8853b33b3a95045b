"""Know programs by their hash: kept by what cannot be set back, so that each is read once."""

import contextlib
import errno
import functools
import hashlib
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from agent.collect.linux import _proc

_NO_PROGRAMS: Final = frozenset(
    {
        *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs"),
        *("tracefs", "bpf", "pstore", "configfs", "fusectl", "hugetlbfs", "binfmt_misc"),
        *("autofs", "nsfs", "rpc_pipefs", "efivarfs"),
    }
)
_FAR: Final = ("fuse", "nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "virtiofs")
"""Kinds of file systems whose answer may never come."""
LARGEST: Final = 64 << 20
_MOST: Final = 4096
_BITE: Final = 256 << 10
_ESCAPED: Final = re.compile(rb"\\([0-3][0-7]{2})")
MOUNTS: Final = Path("/proc/self/mountinfo")
Place = tuple[int, int]
"""Device and inode."""
Key = tuple[int, int, int, int, int]


def roots(mounts: Path = MOUNTS) -> list[bytes]:
    """Give a mount point of every file system that may have programs: bytes, whatever its name.

    Not of those that another program or machine answers for: to be told of a start there is to open
    the program, and whoever waits for that waits for them.
    """
    found: dict[bytes, bytes] = {}
    known = mounted(mounts)
    away = tuple(one.point + b"/" for one in known if one.kind.startswith(_FAR))
    for one in known:
        is_far = one.kind.startswith(_FAR) or one.point.startswith(away)
        if one.kind not in _NO_PROGRAMS and not is_far:
            found.setdefault(one.device, one.point)
    return list(found.values())


def far(mounts: Path = MOUNTS) -> frozenset[int]:
    """Give the devices of file systems that another program or machine answers for."""
    found = set()
    for one in mounted(mounts):
        if one.kind.startswith(_FAR):
            with contextlib.suppress(ValueError):
                major, minor = one.device.split(b":")
                found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def far_points(mounts: Path) -> frozenset[str]:
    """Give where those are mounted: to look at such a place is to wait for its answer."""
    return frozenset(os.fsdecode(m.point) for m in mounted(mounts) if m.kind.startswith(_FAR))


class Mount(NamedTuple):
    """A line of `mountinfo`."""

    number: bytes
    device: bytes
    kind: str
    point: bytes


def mounted(mounts: Path) -> list[Mount]:
    """Give all that is mounted in a namespace."""
    found = []
    for line in mounts.read_bytes().splitlines():
        first, _, rest = line.partition(b" - ")
        words, kind = first.split(b" "), rest.split(b" ")[0].decode("ascii", "replace")
        if len(words) > 4:
            point = _ESCAPED.sub(lambda m: bytes([int(m[1], 8)]), words[4])
            found.append(Mount(words[0], words[2], kind, point))
    return found


def opened(pid: int) -> int:
    """Open the program of a process, if this host's kernel alone answers for it; else EREMOTE.

    The place is held first without opening it: that asks no file system anything.
    """
    place = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        if not _is_near(pid, place):
            raise OSError(errno.EREMOTE, "its file system is not known, or another answers for it")
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)


def _is_near(pid: int, place: int) -> bool:
    number = _mount_of(place)
    if number == _memory():
        return True
    own = mounted(MOUNTS)
    for one in (*own, *mounted(Path(f"/proc/{pid}/mountinfo"))):
        if one.number == number:
            # A user's own overlay may lie above what another program answers for.
            is_known = one.kind != "overlay" or one.device in {m.device for m in own}
            return is_known and not one.kind.startswith(_FAR)
    return False


def _mount_of(handle: int) -> bytes:
    told = Path(f"/proc/self/fdinfo/{handle}").read_bytes()
    return next((w[7:].strip() for w in told.splitlines() if w.startswith(b"mnt_id:")), b"")


@functools.cache
def _memory() -> bytes:
    """Give the number of the mount on which programs in memory lie (`memfd_create`)."""
    handle = os.memfd_create("mount")
    try:
        return _mount_of(handle)
    finally:
        os.close(handle)


def root() -> str:
    """Give where the host's files begin: a unit has a /tmp of its own, the first process has not.

    >>> root() in {"/proc/1/root", ""}
    True
    """
    return "/proc/1/root" if os.access("/proc/1/root/", os.R_OK | os.X_OK) else ""


def key_of(told: os.stat_result) -> Key:
    """Give what is another as soon as the content is."""
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size


def _nothing(_left: int) -> None:
    """Do nothing between two bites."""


def digest_of(handle: int, size: int, meanwhile: Callable[[int], None] = _nothing) -> str:
    """Give the SHA-256 of an open file. `meanwhile`: told after each bite how much is left."""
    digest, at = hashlib.sha256(), 0
    while at < size and (piece := os.pread(handle, _BITE, at)):
        digest.update(piece)
        at += len(piece)
        meanwhile(size - at)
    return digest.hexdigest()


class Programs:
    """Hashes of the programs that were started last."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[Key, str] = OrderedDict()

    def of(self, handle: int, meanwhile: Callable[[int], None] = _nothing) -> tuple[Place, str]:
        """Give (device, inode) and the SHA-256 of an open file, '' if it is over 64 MiB."""
        told = os.fstat(handle)
        key = key_of(told)
        found = self._known.get(key)
        if found is None:
            is_read = stat.S_ISREG(told.st_mode) and told.st_size <= LARGEST
            found = digest_of(handle, told.st_size, meanwhile) if is_read else ""
            self._known[key] = found
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return (told.st_dev, told.st_ino), found

    def knows(self, told: os.stat_result) -> bool:
        """Answer whether its hash is known without reading it."""
        return key_of(told) in self._known

    def running(
        self,
        is_wanted: Callable[[os.stat_result], bool] = lambda _: True,
        meanwhile: Callable[[int], None] = _nothing,
    ) -> dict[int, str]:
        """Give the hash of the program of every process that is wanted and can be read."""
        found = {}
        for pid in _proc.pids():
            with contextlib.suppress(OSError):
                handle = opened(pid)
                try:
                    if is_wanted(os.fstat(handle)):
                        found[pid] = self.of(handle, meanwhile)[1]
                finally:
                    os.close(handle)
        return found
