"""Be a file system in user space with one program, that answers until it is stopped: for tests.

python -m tests.agent.fuse_file FOLDER PROGRAM
"""

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("=IIQQIIIHH")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _INIT, _OPENDIR = 1, 2, 3, 14, 15, 26, 27
_RELEASE, _FLUSH, _INTERRUPT = 18, 25, 36
_ROOT, _FILE = 1, 2
_NOT_THERE, _UNKNOWN = -2, -38


def _attributes(node: int, size: int) -> bytes:
    mode = 0o40755 if node == _ROOT else 0o100755
    return struct.pack(
        "=QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
    )


def _answer(data: bytes, content: bytes) -> bytes | int | None:
    """Give the body of an answer, an error, or None where none is wanted."""
    _, what, _, node, *_ = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    size = len(content) if node == _FILE else 0
    if what == _INIT:
        return struct.pack(
            "=IIIIHHIIHHIIIIII", 7, 31, 1 << 16, 0, 8, 8, 1 << 17, 1, 0, 0, 0, 0, 0, 0, 0, 0
        )
    if what == _LOOKUP:
        if body.rstrip(b"\0") != b"program":
            return _NOT_THERE
        return struct.pack("=QQQQII", _FILE, 0, 0, 0, 0, 0) + _attributes(_FILE, len(content))
    if what == _GETATTR:
        return struct.pack("=QII", 0, 0, 0) + _attributes(node, size)
    if what in {_OPEN, _OPENDIR}:
        return struct.pack("=QII", 1, 0, 0)
    if what == _READ:
        at, count = struct.unpack_from("=QI", body, 8)
        return content[at : at + count]
    if what in {_RELEASE, _FLUSH}:
        return b""
    return None if what in {_FORGET, _INTERRUPT} else _UNKNOWN


def main() -> None:
    """Mount it, say so, and answer."""
    folder, content = sys.argv[1], Path(sys.argv[2]).read_bytes()
    handle = os.open("/dev/fuse", os.O_RDWR)
    words = f"fd={handle},rootmode=40000,user_id=0,group_id=0".encode()
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"one", folder.encode(), b"fuse", 0, words):
        raise OSError(ctypes.get_errno(), "mount")
    print("mounted", flush=True)
    while True:
        try:
            data = os.read(handle, 1 << 18)
        except OSError:  # unmounted
            return
        said = _answer(data, content)
        if said is not None:
            body, wrong = (b"", said) if isinstance(said, int) else (said, 0)
            (unique,) = struct.unpack_from("=Q", data, 8)
            os.write(handle, struct.pack("=IiQ", 16 + len(body), wrong, unique) + body)


if __name__ == "__main__":
    main()
