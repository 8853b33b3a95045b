"""A small disk of its own (tmpfs) under a folder, to be filled to the last byte and emptied."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

_PIECE: Final = b"\0" * (64 << 10)


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted folder."""

    place: Path

    def fill(self) -> None:
        """Leave no byte."""
        with contextlib.suppress(OSError), (self.place / "filler").open("wb", buffering=0) as out:
            while True:
                out.write(_PIECE)
        with contextlib.suppress(OSError), (self.place / "filler").open("ab", buffering=0) as out:
            while True:
                out.write(b"\0" * 512)

    def empty(self) -> None:
        """Give the space back."""
        (self.place / "filler").unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Say what is left."""
        return shutil.disk_usage(self.place).free


@contextlib.contextmanager
def disk(size_mib: int, place: Path | None = None) -> Iterator[Disk]:
    """Mount a disk; skip where that may not be, but fail in CI."""
    folder = place or Path(tempfile.mkdtemp(prefix="inopsio-faults-disk-"))
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0711", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"a tmpfs cannot be mounted: {done.stderr.strip()}; run as root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
        if place is None:
            folder.rmdir()
