"""Repeat the OTRF Windows events to any length, as an event log that makes messages when read."""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from storage.log import Message

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = Path(os.environ.get("INOPSIO_SHARED", ROOT.parent / "shared"))
FORMAT: Final = "windows_json"
MESSAGE_BYTES: Final = 1 << 20
TENANTS: Final = ("acme", "bolt")
_TIME: Final = re.compile(rb'"@timestamp":"([^"]+)"')
_ARRIVED_US: Final = 1_764_000_000_000_000
_DATE: Final = re.compile(rb"20(?:19|20|21)-\d\d-\d\d")
_DAY: Final = b"2020-01-01"
TURN: Final = 16
"""Messages of one tenant before the other has its turn."""


def base_lines(every: int = 4) -> list[bytes]:
    """Give every n-th event line of all OTRF archives as events of one day, in order of time."""
    found: list[bytes] = []
    for archive in sorted((SHARED / "data" / "otrf").rglob("*.zip")):
        with zipfile.ZipFile(archive) as z:
            for member in z.namelist():
                if member.endswith(".json"):
                    lines = z.read(member).splitlines(keepends=True)
                    found += [line for line in lines[::every] if line.endswith(b"}\n")]
    if not found:
        raise SystemExit(f"no OTRF archives below {SHARED}; set INOPSIO_SHARED")
    return sorted((_DATE.sub(_DAY, line) for line in found), key=_time_of)


def _time_of(line: bytes) -> bytes:
    found = _TIME.search(line)
    return found.group(1) if found else b""


class RepeatedLog:
    """Give `events` events in one partition, tenants taking turns, a day later in each pass."""

    def __init__(self, lines: list[bytes], events: int) -> None:
        """Cut the lines into messages of about 1 MiB; nothing is copied until it is read."""
        self.events = events
        cuts = [0]
        size = 0
        for i, line in enumerate(lines):
            size += len(line)
            if size >= MESSAGE_BYTES:
                cuts.append(i + 1)
                size = 0
        if cuts[-1] != len(lines):
            cuts.append(len(lines))
        self._pieces = [(b"".join(lines[a:b]), b - a) for a, b in pairwise(cuts)]
        self._places: list[tuple[int, int, int]] = []
        done = [0] * len(TENANTS)
        while sum(done) < events:
            tenant = len(self._places) // TURN % len(TENANTS)
            piece = len(self._places) % len(self._pieces)
            self._places.append((piece, tenant, done[tenant]))
            done[tenant] += self._pieces[piece][1]
        self.events = sum(done)

    def _message(self, offset: int) -> Message:
        piece, tenant, position = self._places[offset]
        day = date(2020, 1, 1) + timedelta(days=offset // len(self._pieces))
        value = self._pieces[piece][0].replace(_DAY, day.isoformat().encode())
        headers = {
            "tenant": TENANTS[tenant],
            "source": f"otrf-{tenant}",
            "position": str(position),
            "format": FORMAT,
            "name": "otrf.json",
        }
        return Message("raw.events", 0, offset, b"", value, headers, _ARRIVED_US)

    def all_messages(self) -> Iterator[Message]:
        """Give every message once."""
        return (self._message(offset) for offset in range(len(self._places)))

    def read(
        self, _topic: str, _partition: int, offset: int, limit: int = 1000, max_bytes: int = 8 << 20
    ) -> list[Message]:
        """Give what lies at and after the offset, made now."""
        found: list[Message] = []
        size = 0
        while offset < len(self._places) and len(found) < limit:
            message = self._message(offset)
            size += len(message.value)
            if found and size > max_bytes:
                break
            found.append(message)
            offset += 1
        return found

    def end(self, _topic: str, _partition: int) -> int:
        """Give the number of messages."""
        return len(self._places)

    def partitions(self, _topic: str) -> int:
        """Give one partition."""
        return 1

    def topics(self) -> Mapping[str, int]:
        """Give the raw topic."""
        return {"raw.events": 1}


def rule_folder(target: Path, count: int) -> Path:
    """Copy that many Windows rules of the shared Sigma tree, the same each time, to a folder."""
    target.mkdir(parents=True, exist_ok=True)
    windows = SHARED / "data" / "sigma" / "rules" / "windows"
    files = sorted(windows.rglob("*.yml"))
    for i in range(count):
        file = files[i * len(files) // count]
        (target / f"{i:03}-{file.name}").write_bytes(file.read_bytes())
    return target
