"""Run: all halves in one process, or the one that a unit asks for."""

import importlib
import itertools
import os
import signal
import threading
import time
from typing import Final

from agent import lifeline
from agent.collect._shape import agent_event, now_us
from agent.given import DONE, Given, logs_for, settings_of, spool_of
from agent.halves import note_half
from agent.health import HEALTH, health
from agent.identity import alone
from agent.incarnation import place_of, settle
from agent.keep import keep
from agent.ordered import Ordered
from agent.run import Loop, end, run, run_shipper
from agent.settings import Settings
from agent.spool import Spool
from agent.system import resident_bytes, trim
from agent.version import version
from agent.voice import tell
from agent.watchdog import Watchdog, begin_anew, begun_anew, guard, leaving, notify, pulse

HEALTH_S: Final = 60.0
LAST_WORDS_S: Final = 20.0


def run_halves(given: Given) -> int:
    """Run until told to stop by a signal."""
    stop = threading.Event()

    def leave(*_: object) -> None:
        leaving.set()
        stop.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, leave)
    return run_until(given, stop)


def run_until(given: Given, stop: threading.Event) -> int:
    """Run until told to stop."""
    said = settings_of(given)
    # Two lookers would tell everything twice, two shippers look like a stolen key.
    halves = {None: ("look", "", "respond"), "ship": ("",)}
    mine = halves.get(given.only, (str(given.only),))
    held = [alone(given.data / half) for half in mine]
    sender = None
    spool = spool_of(given, said)
    if given.only in {None, "look"} and settle(spool, place_of(given.data)):
        tell("the rows to come get numbers of their own: the spool or the host is set back, or new")
    note_half(spool, given.only or "look", os.getpid())
    if given.only in {None, "ship"}:
        # By name, as what responds: a unit holds only what its own half needs.
        shipping = importlib.import_module("agent.shipping")
        sender = shipping.begin_shipping(given, said, spool, stop)
    notify("READY=1")
    anew, half = begun_anew(), given.only or "all"
    keep(spool, [*anew, *lifeline.begin(spool, half, bool(anew))])
    responds = None
    if given.only in {None, "respond"}:
        responding = importlib.import_module("agent.responding")
        responds = responding.begin_responding(spool, given.data, said, stop, given.idle_s)
    if given.only == "respond":
        # Where it takes no actions it does nothing, and is well.
        pulse(responds.steps if responds is not None else itertools.count().__next__, stop)
    elif given.only == "ship" and sender is not None:
        run_shipper(spool, sender, stop)
    else:
        ordered = Ordered(given.data, spool, said)
        keeper = _Keeper(spool, said, stop, ordered)
        run(spool, sender, logs_for(given, said), stop, ordered.settings.rest, keeper)
    is_idle = responds is not None and responds.idle.is_over
    keep(spool, lifeline.end(spool, half, is_idle=is_idle))
    spool.close()
    for handle in held:
        os.close(handle)
    return DONE


class _Keeper:
    """Look after the agent once a round: its share of the host, its health, systemd."""

    def __init__(
        self, spool: Spool, said: Settings, stop: threading.Event, ordered: Ordered
    ) -> None:
        self._spool, self._stop, self._ordered = spool, stop, ordered
        now_s = time.monotonic()
        share = ordered.settings.cpu_percent / 100
        self._dog = Watchdog(said.memory_mb << 20, share, now_s, time.process_time())
        self._told_s = now_s - HEALTH_S
        self._rounds = 0
        watch = threading.Thread(
            target=guard, args=(lambda: self._rounds, stop, begin_anew), daemon=True
        )
        watch.start()

    def __call__(self, loop: Loop) -> None:
        self._rounds += 1
        now_s = time.monotonic()
        if self._ordered.look():
            loop.apply(self._ordered.settings.rest)
            self._dog.allow(self._ordered.settings.cpu_percent / 100)
        events, reason = self._dog.check(now_s, time.process_time(), resident_bytes)
        loop.slower = self._dog.slower
        if hung := loop.hung():
            reason = reason or f"hung: the watcher {hung} does not come round"
        if now_s - self._told_s >= HEALTH_S:
            self._told_s = now_s
            trim()
            told = health(self._spool, self._dog.share)
            events.append(agent_event("agent_health", now_us(), "the agent is up", **told))
            self._spool.set_note(HEALTH, {"at_us": now_us(), "version": version(), **told})
        if events:
            keep(self._spool, events)
        notify("WATCHDOG=1")
        if reason:
            self._begin_anew(loop, reason)

    def _begin_anew(self, loop: Loop, reason: str) -> None:
        """Replace this process once the watchers' last words are kept, or could not be in time."""
        late = threading.Timer(LAST_WORDS_S, begin_anew, (reason,))
        late.daemon = True
        late.start()
        self._stop.set()
        end(loop, self._stop)
        late.cancel()
        if not leaving.is_set():  # else the end is told as any other
            begin_anew(reason)
