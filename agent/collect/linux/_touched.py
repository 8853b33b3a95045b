"""Hear of changed files: fanotify with names (who did it too), else inotify (what only)."""

import ctypes
import errno
import os
import select
import struct
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

CHANGED, WRITTEN, CREATED, DELETED, MOVED_FROM, MOVED_TO, ATTRIBUTES, OVERFLOW = (
    8,
    2,
    0x100,
    0x200,
    0x40,
    0x80,
    4,
    0x4000,
)
"""The same numbers in both interfaces, but for OVERFLOW, as fanotify has it. CHANGED: a handle that
could write was closed; WRITTEN: it is still open."""
_ALL: Final = CHANGED | WRITTEN | CREATED | DELETED | MOVED_FROM | MOVED_TO | ATTRIBUTES
_ON_CHILD, _ON_DIRECTORY = 0x08000000, 0x40000000
_FID_FLAGS: Final = 0xC00 | 0x1 | 0x2
"""FAN_REPORT_DFID_NAME, close on exec, not blocking."""
_MARK_ADD, _AT_FDCWD, _AT_SYMLINK_FOLLOW = 1, -100, 0x400
_IN_OVERFLOW, _IN_NONBLOCK, _IN_CLOEXEC = 0x4000, 0o4000, 0o2000000
_IN_DIRECTORY, _IN_IGNORED = 0x40000000, 0x8000
_EVENT: Final = struct.Struct("=IBBHQii")
_INFO: Final = struct.Struct("=BBHQIi")
_IN_EVENT: Final = struct.Struct("=iIII")
_DFID_NAME: Final = 2
Key = TypeVar("Key")
_HANDLE_MOST: Final = 128


@dataclass(frozen=True, slots=True)
class Touched:
    """A file or folder was touched; `pid` 0 if the interface does not say by whom."""

    path: str
    mask: int
    pid: int


class Ear(Protocol):
    """One way to hear of changed files."""

    @property
    def name(self) -> str:
        """Give what it is called."""

    def add(self, folder: str) -> None:
        """Hear of what lies directly in the folder; OSError if that cannot be."""

    def forget(self, folder: str) -> None:
        """Hear no more of a folder that has gone, and of those below it."""

    def read(self, timeout_s: float) -> list[Touched]:
        """Give what was touched, waiting at most so long for the first."""

    def close(self) -> None:
        """Stop hearing."""


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, what: str) -> int:
    if answer < 0:
        wrong = ctypes.get_errno()
        raise OSError(wrong, f"{what}: {os.strerror(wrong)}")
    return answer


class _Folders(Generic[Key]):
    """Which folder an event means; `forget` finds those below one without a look at all keys."""

    def __init__(self) -> None:
        self._paths: dict[Key, str] = {}
        self._keys: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def get(self, key: Key) -> str | None:
        return self._paths.get(key)

    def add(self, key: Key, folder: str) -> None:
        """Name it; one that was moved here has had another name."""
        was, before = self._paths.get(key), self._keys.get(folder)
        if was is not None and self._keys.get(was) == key:
            del self._keys[was]
        if before is not None and before != key:
            self._paths.pop(before, None)
        self._paths[key], self._keys[folder] = folder, key

    def forget(self, folder: str) -> list[Key]:
        if folder not in self._keys:
            return []
        begin = folder + "/"
        gone = [p for p in self._keys if p == folder or p.startswith(begin)]
        keys = [self._keys.pop(path) for path in gone]
        for key in keys:
            self._paths.pop(key, None)
        return keys


class Fanotify:
    """Marks on folders; the process is told (needs CAP_SYS_ADMIN, kernel 5.9)."""

    name: Final = "fanotify"

    def __init__(self) -> None:
        """Open a group."""
        self._library = _library()
        self._library.fanotify_mark.argtypes = [
            ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
        ]  # fmt: skip
        self._handle = _checked(self._library.fanotify_init(_FID_FLAGS, os.O_RDONLY), "fanotify")
        self._folders = _Folders[tuple[int, int, bytes]]()
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLIN)

    def add(self, folder: str) -> None:
        """Mark a folder."""
        path = os.fsencode(folder)
        mask = _ALL | _ON_CHILD | _ON_DIRECTORY
        answer = self._library.fanotify_mark(self._handle, _MARK_ADD, mask, _AT_FDCWD, path)
        _checked(answer, f"fanotify {folder}")
        self._folders.add(self._key(path), folder)

    def forget(self, folder: str) -> None:
        """Forget what the kernel has forgotten: a mark goes with its folder."""
        self._folders.forget(folder)

    def _key(self, path: bytes) -> tuple[int, int, bytes]:
        """Give what an event will name the folder by: file system, kind and file handle."""
        held = ctypes.create_string_buffer(struct.pack("=Ii", _HANDLE_MOST, 0), 8 + _HANDLE_MOST)
        mount = ctypes.c_int(0)
        answer = self._library.name_to_handle_at(
            _AT_FDCWD, path, held, ctypes.byref(mount), _AT_SYMLINK_FOLLOW
        )
        _checked(answer, "name_to_handle_at")
        size, kind = struct.unpack_from("=Ii", held.raw)
        return os.statvfs(path).f_fsid, kind, held.raw[8 : 8 + size]

    def read(self, timeout_s: float) -> list[Touched]:
        """Give what was touched, waiting at most so long for the first."""
        if not self._poll.poll(timeout_s * 1000):
            return []
        found = []
        data = os.read(self._handle, 1 << 16)
        at = 0
        while at + _EVENT.size <= len(data):
            size, _, _, head, mask, _, pid = _EVENT.unpack_from(data, at)
            if mask & OVERFLOW:
                found.append(Touched("", OVERFLOW, 0))
            path = self._path(data[at + head : at + size])
            if path is not None:
                found.append(Touched(path, mask, pid))
            at += size
        return found

    def _path(self, info: bytes) -> str | None:
        if len(info) < _INFO.size:
            return None
        kind, _, size, file_system, handle_size, handle_kind = _INFO.unpack_from(info)
        if kind != _DFID_NAME:
            return None
        end = _INFO.size + handle_size
        folder = self._folders.get((file_system, handle_kind, info[_INFO.size : end]))
        name = info[end:size].split(b"\0", 1)[0]
        if folder is None or name in {b"", b"."}:
            return None
        return os.path.join(folder, os.fsdecode(name))  # noqa: PTH118  bytes as they are

    def close(self) -> None:
        """Stop hearing."""
        os.close(self._handle)


class Inotify:
    """Watches on folders; not by whom."""

    name: Final = "inotify"

    def __init__(self) -> None:
        """Open it."""
        self._library = _library()
        flags = _IN_NONBLOCK | _IN_CLOEXEC
        self._handle = _checked(self._library.inotify_init1(flags), "inotify")
        self._folders = _Folders[int]()
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLIN)

    def add(self, folder: str) -> None:
        """Watch a folder."""
        path = os.fsencode(folder)
        answer = self._library.inotify_add_watch(self._handle, path, _ALL)
        self._folders.add(_checked(answer, f"inotify {folder}"), folder)

    def forget(self, folder: str) -> None:
        """Take the watches away: a folder that was moved would be heard under its old name."""
        for watch in self._folders.forget(folder):
            self._library.inotify_rm_watch(self._handle, watch)

    def read(self, timeout_s: float) -> list[Touched]:
        """Give what was touched, waiting at most so long for the first."""
        if not self._poll.poll(timeout_s * 1000):
            return []
        found = []
        data = os.read(self._handle, 1 << 16)
        at = 0
        while at + _IN_EVENT.size <= len(data):
            watch, mask, _, size = _IN_EVENT.unpack_from(data, at)
            at += _IN_EVENT.size
            name = data[at : at + size].split(b"\0", 1)[0]
            at += size
            folder = self._folders.get(watch)
            if mask & _IN_OVERFLOW:
                found.append(Touched("", OVERFLOW, 0))
            elif folder is not None and name:
                path = os.path.join(folder, os.fsdecode(name))  # noqa: PTH118  bytes as they are
                found.append(Touched(path, mask & ~_IN_DIRECTORY, 0))
        return found

    def close(self) -> None:
        """Stop hearing."""
        os.close(self._handle)


def open_ear(names: list[str]) -> tuple[Ear, str]:
    """Open the first that can be had; say why those before it could not."""
    tried: list[str] = []
    for name in names:
        try:
            return (Fanotify() if name == "fanotify" else Inotify()), "; ".join(tried)
        except (OSError, AttributeError) as wrong:
            tried.append(f"{name} ({wrong})")
    raise OSError(errno.ENOSYS, f"no way to hear of changed files: {'; '.join(tried)}")
