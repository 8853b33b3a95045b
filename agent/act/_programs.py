"""Know programs by their hash: kept by what cannot be set back, so that each is read once."""

import contextlib
import hashlib
import os
import re
import stat
from collections import OrderedDict
from pathlib import Path
from typing import Final

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
    """Give a mount point of every file system that may have programs: bytes, whatever its name."""
    found: dict[bytes, bytes] = {}
    for device, kind, root in _mounted(mounts):
        if kind not in _NO_PROGRAMS:
            found.setdefault(device, root)
    return list(found.values())


def far(mounts: Path = MOUNTS) -> frozenset[int]:
    """Give the devices of file systems that another program or machine answers for."""
    found = set()
    for device, kind, _ in _mounted(mounts):
        if kind.startswith(_FAR):
            with contextlib.suppress(ValueError):
                major, minor = device.split(b":")
                found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def _mounted(mounts: Path) -> list[tuple[bytes, str, bytes]]:
    found = []
    for line in mounts.read_bytes().splitlines():
        first, _, rest = line.partition(b" - ")
        words, kind = first.split(b" "), rest.split(b" ")[0].decode("ascii", "replace")
        if len(words) > 4:
            root = _ESCAPED.sub(lambda m: bytes([int(m[1], 8)]), words[4])
            found.append((words[2], kind, root))
    return found


def root() -> str:
    """Give where the host's files begin: a unit has a /tmp of its own, the first process has not.

    >>> root() in {"/proc/1/root", ""}
    True
    """
    return "/proc/1/root" if os.access("/proc/1/root/", os.R_OK | os.X_OK) else ""


def key_of(told: os.stat_result) -> Key:
    """Give what is another as soon as the content is."""
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size


def digest_of(handle: int, size: int) -> str:
    """Give the SHA-256 of an open file."""
    digest, at = hashlib.sha256(), 0
    while at < size and (piece := os.pread(handle, _BITE, at)):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


class Programs:
    """Hashes of the programs that were started last."""

    def __init__(self) -> None:
        """Know none."""
        self._known: OrderedDict[Key, str] = OrderedDict()

    def of(self, handle: int) -> tuple[Place, str]:
        """Give (device, inode) and the SHA-256 of an open file, '' if it is over 64 MiB."""
        told = os.fstat(handle)
        key = key_of(told)
        found = self._known.get(key)
        if found is None:
            is_read = stat.S_ISREG(told.st_mode) and told.st_size <= LARGEST
            found = self._known[key] = digest_of(handle, told.st_size) if is_read else ""
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return (told.st_dev, told.st_ino), found

    def running(self) -> dict[int, str]:
        """Give the hash of the program of every process."""
        found = {}
        for pid in _proc.pids():
            with contextlib.suppress(OSError):
                handle = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    found[pid] = self.of(handle)[1]
                finally:
                    os.close(handle)
        return found
