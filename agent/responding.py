"""Put the responding half together."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.act import Host
from agent.halves import houses, note_half, own_pids
from agent.identity import load
from agent.orders import FILE, Orders
from agent.policy import Follower, allowed, checked
from agent.respond import Responder, respond_or_end
from agent.settings import Settings
from agent.spool import Spool
from agent.voice import tell
from agent.wake import Idle


class Responding(NamedTuple):
    """The half at work: whether it had nothing to do any more, and the steps it took."""

    idle: Idle
    steps: Callable[[], int]


def begin_responding(
    spool: Spool, folder: Path, said: Settings, stop: threading.Event, idle_s: float
) -> Responding | None:
    """Do what the house asks for, in a thread of its own; nothing where the host is not enrolled.

    Linux only: what is not there yet elsewhere is refused, not half done. `idle_s`: it ends once it
    has had nothing to do for so long; 0 is never.
    """
    if load(folder) is None or sys.platform != "linux":
        return None
    follower = Follower(folder, takes=False)

    def may() -> frozenset[str] | None:
        follower.look()
        return allowed(said, follower.policy) if follower.is_known else None

    note_half(spool, "respond", os.getpid())
    orders = Orders(folder / FILE)
    host = Host(
        folder,
        orders,
        lambda: houses(spool),
        lambda: own_pids(spool),
        time.time,
    )
    # In a process of its own: the library would double what this one holds.
    responder = Responder(lambda text: checked(folder, text, "action"), spool, host, may)
    if not said.response:
        tell("this host takes no actions: response is false")
    idle = Idle(folder, orders, idle_s)
    words = (responder, stop, idle.look)
    threading.Thread(target=respond_or_end, args=words, name="respond", daemon=True).start()
    return Responding(idle, lambda: responder.steps + idle.looks)
