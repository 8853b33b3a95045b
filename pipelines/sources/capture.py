"""Listen at a network interface: flows and protocols as OCSF events, and what was not seen.

Packets that passed cannot be read again: each start is a source of its own, numbered from 0, and
what its reader had not kept when it died is gone. How many packets the kernel had to drop, and
when, is told as events; so is how many messages the sensor itself let go. Linux; CAP_NET_RAW.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import polars as pl

from pipelines.edge import EDGE_FORMAT, as_ocsf
from pipelines.network.packets import PacketBlock
from pipelines.network.ring import Ring
from pipelines.network.sensor import watch_blocks
from pipelines.parsers import Parsed
from pipelines.parsers.pcap import events
from pipelines.sources import Chunk
from storage.errors import InvalidInput
from storage.schema import class_named
from storage.settings import Settings

NAME: Final = "capture"
CHUNK_BYTES: Final = 1 << 20
LOG_NAME: Final = "capture"
STARTED, COUNTED, DROPPED = "capture_started", "capture_counted", "packets_dropped"

_STEP_NS: Final = 1_000_000_000
_COUNT_NS: Final = 30_000_000_000
_DROPS_NS: Final = 5_000_000_000
"""Drops that lie closer together than so are told as one interval."""
_INFO, _MEDIUM = 1, 3


class Listener(Protocol):
    """What fills up with packets: a `pipelines.network.ring.Ring`, or a test's own."""

    packets: int
    drops: int

    def beats(self, until: Callable[[], bool]) -> Iterator[PacketBlock]:
        """Give blocks as they come, and an empty one now and then."""

    def count(self) -> None:
        """Bring `packets` and `drops` up to date."""

    def close(self) -> None:
        """Stop listening."""


@dataclass(slots=True)
class CaptureSource:
    """Give a chunk a second, or a MiB; `packets`, `drops` and `let_go` count since the start."""

    ring: Listener
    interface: str
    sensor: str = field(default_factory=socket.gethostname)
    now_ns: Callable[[], int] = time.time_ns
    packets: int = 0
    drops: int = 0
    let_go: int = 0
    is_closed: bool = False
    _started_ns: int = 0
    _told_ns: int = 0
    _dropping: tuple[int, int, int] | None = None

    def chunks(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        """Give chunks until closed; nothing can be resumed."""
        del resume
        self._started_ns = since_ns = self._told_ns = before_ns = self.now_ns()
        source = f"capture:{self.sensor}:{self.interface}:{self._started_ns // 1000}"
        held = [self._word(STARTED, since_ns, f"listening at {self.interface}")]
        position = number = size = 0
        blocks = self.ring.beats(lambda: self.is_closed)
        for seen in watch_blocks(blocks, now_ns=self.now_ns):
            for _, text in as_ocsf(NAME, events([seen])):
                held.append(text)
                size += len(text)
            now_ns = self.now_ns()
            self.let_go = max(self.let_go, seen.evicted + seen.cut)
            held += self._counted(before_ns, now_ns)
            before_ns = now_ns
            if held and (size >= CHUNK_BYTES or now_ns - since_ns >= _STEP_NS):
                value, number = b"".join(held), number + 1
                yield Chunk(source, position, EDGE_FORMAT, self.interface, value, number)
                position, size, since_ns, held = position + value.count(b"\n"), 0, now_ns, []
        held += self._counted(before_ns, self.now_ns(), is_end=True)
        yield Chunk(source, position, EDGE_FORMAT, self.interface, b"".join(held), number + 1)

    def close(self) -> None:
        """Let the chunks end with what is open; the ring is closed by its owner."""
        self.is_closed = True

    def _counted(self, before_ns: int, now_ns: int, *, is_end: bool = False) -> list[bytes]:
        """Look at the kernel's counts; give what is to be told of them."""
        self.ring.count()
        told: list[bytes] = []
        fresh = self.ring.drops - self.drops
        self.packets, self.drops = self.ring.packets, self.ring.drops
        if fresh:
            first_ns, _, lost = self._dropping or (before_ns, 0, 0)
            self._dropping = first_ns, now_ns, lost + fresh
        if self._dropping and (now_ns - self._dropping[1] >= _DROPS_NS or is_end):
            first_ns, last_ns, lost = self._dropping
            seconds = (last_ns - first_ns) / 1e9
            message = f"{lost} packets of {self.interface} were dropped within {seconds:.1f} s"
            told.append(self._word(DROPPED, last_ns, message, since_ns=first_ns, lost=lost))
            self._dropping = None
        if told or now_ns - self._told_ns >= _COUNT_NS or is_end:
            message = f"{self.packets} packets of {self.interface}, {self.drops} dropped"
            message += f", {self.let_go} messages or flows let go" if self.let_go else ""
            told.append(self._word(COUNTED, now_ns, message))
            self._told_ns = now_ns
        return told

    def _word(
        self, code: str, at_ns: int, message: str, since_ns: int | None = None, lost: int = 0
    ) -> bytes:
        """Write an event that the sensor tells of itself, as one line."""
        row: dict[str, object] = {
            "position": 0,
            "time": at_ns // 1000,
            "class_uid": class_named("base_event").class_uid,
            "activity_id": 0,
            "severity_id": _MEDIUM if code == DROPPED else _INFO,
            "message": message,
            "metadata.log_name": LOG_NAME,
            "metadata.event_code": code,
            "metadata.log_provider": "inopsio-sensor",
            "device.hostname": self.sensor,
            "unmapped.interface": self.interface,
            "unmapped.started_us": str(self._started_ns // 1000),
            "unmapped.packets": str(self.packets),
            "unmapped.dropped": str(self.drops),
            "unmapped.let_go": str(self.let_go),
        }
        if since_ns is not None:
            row |= {"unmapped.since_us": str(since_ns // 1000), "unmapped.lost": str(lost)}
        frame = pl.DataFrame([row]).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
        return b"".join(text for _, text in as_ocsf(NAME, [Parsed(frame, [])]))


def open(settings: Settings) -> CaptureSource:  # noqa: A001  the contract's name
    """Listen at the interface of the settings; Unavailable where that may not be."""
    if not settings.capture_interface:
        raise InvalidInput("INOPSIO_CAPTURE_INTERFACE says at which interface to listen")
    return CaptureSource(Ring(settings.capture_interface), settings.capture_interface)
