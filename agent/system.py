"""Bridge what systems differ in: flags of files, a lock, whose account this is."""

import os
import sys

NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
OURS_ALONE: int = getattr(os, "O_CLOEXEC", 0)
"""Not for the programs that are started."""
TO_BYTES: int = getattr(os, "O_BINARY", 0)
IS_POSIX: bool = sys.platform != "win32"

if sys.platform == "win32":
    import msvcrt

    def lock(handle: int) -> None:
        """Lock an open file for this process's life; OSError if another one has it."""
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def lock(handle: int) -> None:
        """Lock an open file for this process's life; OSError if another one has it."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


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
