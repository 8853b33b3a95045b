"""Put together what the house says with the halves of this agent: policy, beat, actions."""

import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from agent.act import Host
from agent.beat import POLICY, Beat, houses, keep_beating
from agent.collect._shape import agent_event, now_us
from agent.identity import load
from agent.keep import keep
from agent.orders import Orders
from agent.policy import Follower, allowed, checked, merged
from agent.respond import Responder, note_half, own_pids, respond_or_end
from agent.run import agent_id
from agent.settings import Settings
from agent.ship import Sender, Server
from agent.spool import Spool
from agent.voice import tell

FILE: Final = "orders.sqlite"


class Ordered:
    """The settings to run by now: this host's own, and the house's policy within them."""

    def __init__(self, folder: Path, spool: Spool, said: Settings) -> None:
        """Begin with the policy that ran before."""
        self._said, self._spool = said, spool
        self._follower = Follower(folder)
        self.settings = said
        self._take()

    def look(self) -> bool:
        """Look for another policy; True if the settings are others now. Told as an event."""
        before = self._follower.refused, self._follower.reason
        is_new = self._follower.look()
        if is_new:
            self._take()
            version = self._follower.policy.version
            self._tell("policy_applied", f"policy {version} runs", version)
        elif before != (self._follower.refused, self._follower.reason):
            self._note()
            text = f"policy {self._follower.refused} was refused: {self._follower.reason}"
            self._tell("policy_refused", text, self._follower.refused)
        return is_new

    def _take(self) -> None:
        self.settings = merged(self._said, self._follower.policy)
        self._spool.bound(self.settings.spool_mb << 20)
        self._note()

    def _note(self) -> None:
        follower = self._follower
        note = {
            "version": follower.policy.version,
            "refused": follower.refused,
            "reason": follower.reason,
            "response": sorted(allowed(self._said, follower.policy)),
        }
        if self._spool.note(POLICY, None) != note:
            self._spool.set_note(POLICY, note)

    def _tell(self, code: str, text: str, version: int) -> None:
        keep(self._spool, [agent_event(code, now_us(), text, policy_version=version)])


def begin_beating(server: Server, spool: Spool, folder: Path, stop: threading.Event) -> None:
    """Beat in a thread of its own, over a connection of its own."""
    sender = Sender(server, agent_id(spool), socket.gethostname())
    note_half(spool, "ship", os.getpid())
    beat = Beat(spool, Orders(folder / FILE), sender, folder)
    words = (beat, stop, time.time)
    threading.Thread(target=keep_beating, args=words, name="beat", daemon=True).start()


def begin_responding(spool: Spool, folder: Path, said: Settings, stop: threading.Event) -> None:
    """Do what the house asks for, in a thread of its own; nothing where the host is not enrolled.

    Linux only: what is not there yet elsewhere is refused, not half done.
    """
    if load(folder) is None or sys.platform != "linux":
        return
    follower = Follower(folder, takes=False)

    def may() -> frozenset[str] | None:
        follower.look()
        return allowed(said, follower.policy) if follower.is_known else None

    note_half(spool, "respond", os.getpid())
    host = Host(
        folder,
        Orders(folder / FILE),
        lambda: houses(spool),
        lambda: own_pids(spool),
        time.time,
    )
    # In a process of its own: the library would double what this one holds.
    responder = Responder(lambda text: checked(folder, text, "action"), spool, host, may)
    if not said.response:
        tell("this host takes no actions: response is false")
    words = (responder, stop)
    threading.Thread(target=respond_or_end, args=words, name="respond", daemon=True).start()
