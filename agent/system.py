"""Bridge what systems differ in: flags of files, locks, rights, what a host says of itself."""

import ctypes
import mmap
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Final

NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
OURS_ALONE: int = getattr(os, "O_CLOEXEC", 0)
"""Not for the programs that are started."""
TO_BYTES: int = getattr(os, "O_BINARY", 0)
IS_POSIX: bool = sys.platform != "win32"
_TRIES, _PAUSE_S = 100, 0.02

if sys.platform == "win32":
    import msvcrt

    from agent.windows import facts, rights

    _ASKED: Final = {
        "/etc/machine-id": facts.machine_id,
        "/sys/class/dmi/id/product_uuid": facts.hardware_id,
        "/proc/sys/kernel/random/boot_id": facts.boot_id,
    }

    def lock(handle: int) -> None:
        """Lock an open file for this process's life; OSError if another one has it."""
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def close_off(folder: Path, *, is_new: bool) -> None:
        """Keep others out of a folder of the agent's; AgentError if they may be in it already."""
        rights.close_off(folder, is_new=is_new)

    def resident_bytes() -> int:
        """Give the memory that this process holds; 0 where it cannot be known."""
        return facts.resident_bytes()

    def system_program(name: str) -> str | None:
        """Give where a program of the system's lies, None if it has none of that name."""
        return facts.system_program(name)

    def windows_home() -> Path:
        """Give the folder that a Windows host has for the agent's settings and data."""
        return rights.home()

    def told_by(place: Path) -> bytes:
        """Give what a file of the host says of it, or what Windows says instead; b'' if nothing."""
        asked = _ASKED.get(place.as_posix())
        return asked() if asked else _read(place)

else:
    import fcntl

    def lock(handle: int) -> None:
        """Lock an open file for this process's life; OSError if another one has it."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close_off(folder: Path, *, is_new: bool) -> None:
        """Keep others out of a folder of the agent's: its mode has done so where it was made."""

    def resident_bytes() -> int:
        """Give the memory that this process holds; 0 where it cannot be known."""
        try:
            told = Path("/proc/self/statm").read_text(encoding="ascii")
        except OSError:  # not Linux
            return 0
        return int(told.split()[1]) * mmap.PAGESIZE

    def system_program(name: str) -> str | None:
        """Give where a program of the system's lies, None if it has none of that name."""
        return shutil.which(name)

    def windows_home() -> Path:
        """Say that there is none: it is asked for on Windows only."""
        raise NotImplementedError

    def told_by(place: Path) -> bytes:
        """Give what a file of the host says of it; b'' if it cannot be read."""
        return _read(place)


def _read(place: Path) -> bytes:
    try:
        return place.read_bytes().strip()
    except OSError:
        return b""


def trim() -> None:
    """Give the system what was freed in the midst of the heap, where the C library can."""
    if sys.platform == "linux" and (give := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give(0)


def since_boot_s() -> float:
    """Give the seconds since the machine began, its sleep counted where the system counts it."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def own_account() -> int:
    """Give the number of the account that this runs as, -1 where accounts have none."""
    return os.geteuid() if hasattr(os, "geteuid") else -1


def flush_folder(folder: os.PathLike[str]) -> None:
    """Have the disk keep what was renamed in the folder, where a folder can be asked for that."""
    if not IS_POSIX:
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def put_in_place(draft: Path, place: Path) -> None:
    """Give a draft the name of what it replaces, whole or not at all.

    Windows refuses that while somebody reads the old one: it is tried for two seconds.
    """
    for _ in range(0 if IS_POSIX else _TRIES):
        try:
            draft.replace(place)
        except PermissionError:
            time.sleep(_PAUSE_S)
        else:
            return
    draft.replace(place)
