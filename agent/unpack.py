"""Unpack a package of the agent: plain files and folders, bounded, nothing outside."""

import lzma
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from agent.release import BadRelease

MOST_UNPACKED: Final = 256 << 20
MOST_FILES: Final = 5000
_CHUNK: Final = 1 << 20
_RIGHTS: Final = 0o755


class _Bounded:
    """What is unpacked, up to a bound: a package that never ends is refused there."""

    def __init__(self, packed: lzma.LZMAFile) -> None:
        self._from, self._left = packed, MOST_UNPACKED

    def read(self, most: int) -> bytes:
        """Give so many bytes, fewer at the end."""
        data = self._from.read(min(most, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise BadRelease(f"the package is over {MOST_UNPACKED >> 20} MB when unpacked")
        return data


def unpack(packed: Path, folder: Path) -> None:
    """Unpack a .tar.xz into a new folder. BadRelease for what is no such package."""
    folder.mkdir(mode=_RIGHTS)
    count = 0
    try:
        with (
            lzma.open(packed) as held,
            tarfile.open(fileobj=cast("Any", _Bounded(held)), mode="r|") as package,
        ):
            for member in package:
                count += 1
                if count > MOST_FILES:
                    raise BadRelease(f"the package has over {MOST_FILES} files")
                _put(package, member, folder)
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as broken:
        raise BadRelease(f"the package cannot be unpacked: {broken}") from None


def _put(package: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    place = PurePosixPath(member.name)
    if place.is_absolute() or ".." in place.parts or "\0" in member.name:
        raise BadRelease(f"the package names a place outside of it: {member.name[:80]!r}")
    target = folder.joinpath(*place.parts)
    if member.isdir():
        target.mkdir(mode=_RIGHTS, parents=True, exist_ok=True)
        return
    held = package.extractfile(member) if member.isreg() else None
    if held is None:
        raise BadRelease(f"the package has something that is no file: {member.name[:80]!r}")
    target.parent.mkdir(mode=_RIGHTS, parents=True, exist_ok=True)
    rights = _RIGHTS if member.mode & 0o100 else 0o644
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, rights)
    with os.fdopen(handle, "wb") as out:
        while chunk := held.read(_CHUNK):
            out.write(chunk)
        os.fchmod(out.fileno(), rights)  # whatever the umask
