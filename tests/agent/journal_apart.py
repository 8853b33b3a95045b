"""Run a journal of one's own in a mount namespace: systemd-journald, on a /run of its own."""

import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

JOURNALD = Path("/lib/systemd/systemd-journald")
_SCRIPT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal/$(cat /etc/machine-id)
exec /lib/systemd/systemd-journald
"""


class Journal:
    """A journal that runs; `program` asks it as journalctl would."""

    def __init__(self, child: "subprocess.Popen[bytes]", folder: Path) -> None:
        """Write the program."""
        self._root = Path(f"/proc/{child.pid}/root")
        self.program = folder / "journalctl"
        self.program.write_text(
            f'#!/bin/sh\nexec nsenter -t {child.pid} -m /usr/bin/journalctl "$@"\n'
        )
        self.program.chmod(0o755)

    def is_there(self) -> bool:
        """Answer whether it listens."""
        return (self._root / "run/systemd/journal/socket").exists()

    def say(self, message: bytes, priority: str = "6", facility: str = "10") -> None:
        """Log a message as any program may."""
        fields = f"PRIORITY={priority}\nSYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER=t\nMESSAGE\n"
        body = fields.encode() + len(message).to_bytes(8, "little") + message + b"\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            link.sendto(body, str(self._root / "run/systemd/journal/socket"))


@contextmanager
def journal(folder: Path) -> Iterator[Journal]:
    """Run it."""
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", _SCRIPT]
    child = subprocess.Popen(words, stdout=sys.stderr)
    try:
        made = Journal(child, folder)
        end_s = time.monotonic() + 20
        while not made.is_there():
            if child.poll() is not None or time.monotonic() > end_s:
                raise OSError(f"no journal by {shlex.join(words)[:40]}")
            time.sleep(0.05)
        yield made
    finally:
        child.terminate()
        child.wait()
