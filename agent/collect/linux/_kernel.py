"""Say what a source of kernel events gives: programs started, processes ended, what was missed."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Exec:
    """A program was started. What the source does not know is None or empty: read it in /proc."""

    pid: int
    time_us: int
    ppid: int | None = None
    start_ticks: int = 0
    argv: bytes | None = None
    argv_bytes: int = 0
    """Size of the whole command line; `argv` may be its beginning only."""
    uid: int = 0
    login_uid: int = 0
    called: str = ""
    """The path as it was called; not yet the program: it may be a link or a script."""
    inode: tuple[int, int] = (0, 0)
    """Device and inode of the program."""


@dataclass(slots=True)
class Exit:
    """A process ended; `code` as wait(2) says it."""

    pid: int
    time_us: int
    code: int


@dataclass(slots=True)
class Missed:
    """The kernel could not hand over all events of an interval; `count` if it says how many."""

    from_us: int
    to_us: int
    count: int | None = None


KernelEvent = Exec | Exit | Missed


class Source(Protocol):
    """One way to hear of processes."""

    @property
    def name(self) -> str:
        """Give what it is called."""

    @property
    def pause_s(self) -> float:
        """Give how long to gather before the next read: 0 where /proc must be read at once."""

    def read(self, timeout_s: float) -> list[KernelEvent]:
        """Give what happened, waiting at most so long for the first."""

    def close(self) -> None:
        """Stop hearing."""
