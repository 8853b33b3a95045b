"""Hold one group of fanotify: what is marked in it is told of, or asked about, until it is closed.

A group that asks (`ASKS`) keeps whoever opens what is marked waiting for the answer. The kernel
lets them through when the group is closed, also by the death of the process that holds it.
"""

import ctypes
import os
import select
import struct
from collections.abc import Iterator
from typing import Final

OPEN_EXEC, OPEN_EXEC_PERM, OVERFLOW = 0x1000, 0x40000, 0x4000
ASKS: Final = 0x4
"""FAN_CLASS_CONTENT: what a group is for; it may be told of other things all the same."""
_CLOEXEC, _NONBLOCK = 0x1, 0x2
_ADD, _REMOVE, _FLUSH, _FILESYSTEM, _AT_FDCWD = 0x1, 0x2, 0x80, 0x100, -100
_EVENT: Final = struct.Struct("=IBBHQii")
_ANSWER: Final = struct.Struct("=iI")
_ALLOW, _DENY = 1, 2


class Group:
    """A group, with marks on file systems or on single files."""

    def __init__(self, kind: int) -> None:
        """Open it; OSError without CAP_SYS_ADMIN."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._library.fanotify_mark.argtypes = [
            ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
        ]  # fmt: skip
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_LARGEFILE
        self._handle = self._library.fanotify_init(_CLOEXEC | _NONBLOCK | kind, flags)
        if self._handle < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLIN)

    def mark_file_system(self, root: bytes, mask: int) -> bool:
        """Mark the file system that is mounted there; False if the kernel does not."""
        flags = _ADD | _FILESYSTEM
        return bool(self._library.fanotify_mark(self._handle, flags, mask, _AT_FDCWD, root) == 0)

    def mark(self, file: int, mask: int) -> bool:
        """Mark an open file, by whatever name it is opened later."""
        return bool(self._library.fanotify_mark(self._handle, _ADD, mask, file, None) == 0)

    def unmark(self, file: int, mask: int) -> None:
        """Take the mark from an open file; nothing if it has none."""
        self._library.fanotify_mark(self._handle, _REMOVE, mask, file, None)

    def unmark_files(self) -> None:
        """Take the marks from all single files."""
        self._library.fanotify_mark(self._handle, _FLUSH, 0, _AT_FDCWD, None)

    def heard(self, wait_ms: int) -> Iterator[tuple[int, int, int]]:
        """Give (mask, handle, pid) of what was opened; whoever takes a handle closes it."""
        if not self._poll.poll(wait_ms):
            return
        data, at = os.read(self._handle, 1 << 14), 0
        while at + _EVENT.size <= len(data):
            size, _, _, _, mask, handle, pid = _EVENT.unpack_from(data, at)
            at += size
            yield mask, handle, pid

    def answer(self, handle: int, *, is_allowed: bool) -> None:
        """Let whoever waits for this go on, or refuse it (EPERM)."""
        os.write(self._handle, _ANSWER.pack(handle, _ALLOW if is_allowed else _DENY))

    def close(self) -> None:
        """Close it: all its marks go, and whoever waits goes on."""
        os.close(self._handle)
