"""Deliver what waits: lanes in turn, back-off with jitter, a poisonous row put aside alone."""

import math
import random
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from agent.errors import AgentError, Away, Refused
from agent.spool import Batch, Spool
from agent.version import version
from agent.voice import tell, trouble

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 120.0
ACCEPTED: Final = "accepted"
"""Note of the spool: which version had a batch accepted last, and when, to about a minute."""
NOTE_EVERY_S: Final = 60.0
SKEW: Final = "clock_skew_s"
"""Note of the spool: the server's clock less this host's, at the newest answer."""


class Sends(Protocol):
    """What carries a batch to the server."""

    @property
    def skew_s(self) -> float | None:
        """Give the server's clock less this host's, None before the first answer."""

    def send(self, batch: Batch) -> None:
        """Send it; Away or Refused."""


def ship_all(spool: Spool, sender: Sends, accepted: Callable[[], None] = lambda: None) -> int:
    """Send all that waits; give how many rows the server took. Away when it cannot be reached.

    `accepted` is called after each batch that the server took.
    """
    sent = 0
    while (batch := spool.next_batch()) is not None:
        taken = _ship(spool, sender.send, batch)
        if taken:
            accepted()
        sent += taken
        _note_skew(spool, sender.skew_s)
    return sent


def _note_skew(spool: Spool, skew_s: float | None) -> None:
    if skew_s is not None and abs(skew_s - float(spool.note(SKEW, 0.0))) >= 1:
        spool.set_note(SKEW, skew_s)


class _Accepted:
    """Note that a batch was accepted: the first of the process at once, then once a minute."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._noted_s = spool, -math.inf

    def __call__(self) -> None:
        now_s = time.monotonic()
        if now_s - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = now_s
            told = {"version": version(), "at_us": time.time_ns() // 1000}
            self._spool.set_note(ACCEPTED, told)


def _ship(spool: Spool, send: Callable[[Batch], None], batch: Batch) -> int:
    try:
        send(batch)
    except Refused as no:
        if len(batch.rows) == 1:
            tell(f"one event of stream {batch.stream} given up: {no}")
            spool.give_up(batch)
            return 0
        half = len(batch.rows) // 2
        first = batch._replace(rows=batch.rows[:half])
        second = batch._replace(first=batch.first + half, rows=batch.rows[half:])
        return _ship(spool, send, first) + _ship(spool, send, second)
    spool.done(batch)
    return len(batch.rows)


class Pace:
    """Say how long to wait: what the server asked for, else twice as long each time, scattered."""

    def __init__(self, dice: random.Random) -> None:
        """Begin with the shortest wait."""
        self._dice = dice
        self._wait_s = FIRST_WAIT_S

    def after_success(self) -> float:
        """Give the pause before the next look for what waits."""
        self._wait_s = FIRST_WAIT_S
        return FIRST_WAIT_S

    def after_failure(self, asked_s: float = 0.0) -> float:
        """Give the pause after a failure: a thousand agents must not come back in one second."""
        wait_s = self._wait_s
        self._wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        return max(asked_s * self._dice.uniform(1.0, 1.2), wait_s * self._dice.uniform(0.5, 1.5))


def deliver(
    spool: Spool, sender: Sends, stop: threading.Event, wait: Callable[[float], object]
) -> None:
    """Ship until told to stop; `wait` sleeps so many seconds, or less if told to stop."""
    pace = Pace(random.Random())  # noqa: S311  not a secret
    accepted = _Accepted(spool)
    while not stop.is_set():
        try:
            ship_all(spool, sender, accepted)
            pause_s = pace.after_success()
        except AgentError as gone:
            tell(str(gone))
            pause_s = pace.after_failure(gone.retry_after_s if isinstance(gone, Away) else 0.0)
        except Exception:  # noqa: BLE001  the agent's loop: a full disk must not silence it for good
            tell(f"shipping failed: {trouble(3)}")
            pause_s = pace.after_failure()
        wait(pause_s)
