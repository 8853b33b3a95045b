"""A log that cannot be written loses lines, never the process; it says how many it lost."""

import contextlib
import io
from pathlib import Path
from typing import TextIO, cast

import structlog

from deploy.log_lines import LogLines


class _Disk(io.StringIO):
    """A file whose disk may be full."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_full_disk_does_not_reach_the_caller() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115  its end fails too
    structlog.WriteLogger(cast("TextIO", LogLines(full))).info("lost")
    with contextlib.suppress(OSError):
        full.close()


def test_lines_that_were_lost_are_counted_once_there_is_room() -> None:
    disk = _Disk()
    log = structlog.WriteLogger(cast("TextIO", LogLines(disk)))
    log.info("one")
    disk.is_full = True
    log.info("two")
    log.info("three")
    disk.is_full = False
    log.info("four")
    assert disk.getvalue() == "one\n2 log lines could not be written\nfour\n"
