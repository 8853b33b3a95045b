"""Hold the agent to its share of the host.

Over its share of the processor it slows down; over its memory, or hung, it begins anew.
"""

import importlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from agent.collect import Event
from agent.collect._shape import agent_event, now_us
from agent.system import IS_POSIX

CHECK_S: Final = 5.0
SUSTAINED: Final = 6
"""Checks in a row over the ceiling before anything is done: half a minute."""
SLOWEST: Final = 16.0
HUNG_S: Final = 120.0
BEGUN_ANEW: Final = "INOPSIO_AGENT_BEGUN_ANEW"
"""Why the process before this one began anew, and how often in a row."""


class Watchdog:
    """Judge the agent now and then. `memory_bytes`, `cpu_share` (of one core): the ceilings."""

    def __init__(self, memory_bytes: int, cpu_share: float, now_s: float, used_s: float) -> None:
        """Begin at a time and a use of the processor."""
        self._memory, self._share = memory_bytes, cpu_share
        self._last_s, self._last_used_s = now_s, used_s
        self._over = 0
        self.slower = 1.0
        """Factor on every pause between two looks."""
        self.share = 0.0

    def allow(self, cpu_share: float) -> None:
        """Judge by another share of the processor from now on."""
        self._share = cpu_share

    def check(
        self, now_s: float, used_s: float, memory_bytes: Callable[[], int]
    ) -> tuple[list[Event], str]:
        """Give what to tell, and a reason to begin anew (or nothing)."""
        if now_s - self._last_s < CHECK_S:
            return [], ""
        self.share = (used_s - self._last_used_s) / (now_s - self._last_s)
        self._last_s, self._last_used_s = now_s, used_s
        reason, memory = "", memory_bytes()
        if memory > self._memory:
            reason = f"memory: {memory >> 20} MB are over the ceiling of {self._memory >> 20} MB"
        return self._judge_share(), reason

    def _judge_share(self) -> list[Event]:
        self._over = self._over + 1 if self.share > self._share else 0
        before = self.slower
        if self._over >= SUSTAINED:
            self.slower, self._over = min(self.slower * 2, SLOWEST), 0
        elif self.share < self._share / 2:
            self.slower = max(self.slower / 2, 1.0)
        if before == self.slower:
            return []
        text = f"{self.share:.0%} of a core used, {self._share:.0%} allowed"
        text += f"; pauses between two looks are now {self.slower:g} times as long"
        return [agent_event("agent_paced", now_us(), text, factor=self.slower)]


leaving: Final = threading.Event()
"""Set once a signal told this process to end: then no other one takes its place."""


def begin_anew(reason: str) -> None:
    """Replace this process by a new one of the same words; what is on disk stays.

    One that was told to end meanwhile ends instead: the next process would not know of it.
    """
    before = os.environ.get(BEGUN_ANEW, "").split("|", 1)[0]
    count = int(before) + 1 if before.isdigit() else 1
    os.environ[BEGUN_ANEW] = f"{count}|{reason}"
    sys.stderr.flush()
    if not IS_POSIX:  # by name: it loads on Windows only
        served = importlib.import_module("agent.windows.served")
        served.begin_anew(_words(), os.environ[BEGUN_ANEW])
    if leaving.is_set():
        os._exit(0)
    os.execv(sys.executable, _words())  # noqa: S606  itself


def _words() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, *sys.argv[1:]]
    return [sys.executable, "-P", "-m", "agent", *sys.argv[1:]]


def begun_anew() -> list[Event]:
    """Give what to tell if this process replaced another one."""
    count, _, reason = os.environ.get(BEGUN_ANEW, "").partition("|")
    if not reason:
        return []
    text = f"the agent began anew ({count} times since its start): {reason}"
    return [agent_event("agent_begun_anew", now_us(), text, record_count=int(count))]


def guard(rounds: Callable[[], int], stop: threading.Event, act: Callable[[str], None]) -> None:
    """Act if no round ends for two minutes: a look that hangs must not silence the host."""
    last, since_s = rounds(), time.monotonic()
    while not stop.wait(CHECK_S):
        now = rounds()
        if now != last:
            last, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > HUNG_S:
            act(f"hung: no round ended for {HUNG_S:g} s")
            return


def pulse(rounds: Callable[[], int], stop: threading.Event) -> None:
    """Tell systemd of each step until `stop`: what takes no step any more is ended by it."""
    last = -1
    while not stop.wait(CHECK_S):
        now = rounds()
        if now != last:
            last = now
            notify("WATCHDOG=1")


class Pulse(threading.Event):
    """A stop event of one watcher that notes when the watcher last asked for it."""

    def __init__(self) -> None:
        """Begin now."""
        super().__init__()
        self.at_s = time.monotonic()

    def is_set(self) -> bool:
        """Answer whether to stop."""
        self.at_s = time.monotonic()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop; the watcher is well for as long."""
        self.at_s = time.monotonic() + (timeout or 0.0)
        return super().wait(timeout)


def notify(text: str) -> None:
    """Tell systemd, if it asked to be told (`READY=1`, `WATCHDOG=1`)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or sys.platform == "win32":
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        try:
            link.sendto(text.encode(), address.replace("@", "\0", 1))
        except OSError:  # nobody listens any more: nothing to say to
            return
