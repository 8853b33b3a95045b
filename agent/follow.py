"""Follow a log file through growth, rotation and truncation, whole lines only."""

import os
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 256 << 10


def follow(path: Path, notes: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
    """Give the complete lines after the notes' place (inode, offset), and the new place.

    A file replaced under its name is read on to its end first as far as the name still shows it;
    one that shrank is read from its start. A line over 256 KiB is cut there.
    """
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return [], notes
    with handle:
        told = os.fstat(handle.fileno())
        same = notes.get("inode") == told.st_ino and notes.get("device") == told.st_dev
        offset = int(notes.get("offset", 0)) if same else 0
        if offset > told.st_size:
            offset = 0
        handle.seek(offset)
        data = handle.read(MOST_BYTES)
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= LONGEST_LINE:
        end = LONGEST_LINE
    lines = [line[:LONGEST_LINE] for line in data[:end].split(b"\n") if line.strip()]
    place = {"inode": told.st_ino, "device": told.st_dev, "offset": offset + end}
    return lines, place
