"""Put the shipping half together: the server, the sender, papers, the beat, new versions."""

import functools
import importlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from agent.beat import Beat, keep_beating
from agent.collect._shape import agent_event, now_us
from agent.errors import AgentError
from agent.given import Given
from agent.halves import houses, note_half
from agent.identity import load
from agent.incarnation import Marking
from agent.keep import keep
from agent.orders import FILE, Orders
from agent.place import KEY, PLACE
from agent.renewal import keep_renewed
from agent.run import agent_id
from agent.settings import Settings
from agent.ship import Sender, Server
from agent.spool import Spool
from agent.system import IS_POSIX
from agent.voice import tell

_LONGEST_TOKEN: Final = 4096


def server_of(given: Given, said: Settings) -> Server:
    """Give where to ship, as whom; AgentError if neither words nor enrolment say it."""
    url = given.url or said.url
    if url:
        return Server(url, token_of(given.token_file or said.token_file), given.ca or said.ca)
    identity = load(given.data)
    if identity is None:
        raise AgentError(f"not enrolled in {given.data}; enroll first, or give --url and a token")
    return Server(identity.url, identity=identity)


def token_of(file: Path | None) -> str:
    """Give the token of the file, or of the environment; AgentError if there is none.

    The file `-` is standard input, which others on the host cannot read as they can a command.
    """
    if file == Path("-"):
        token = sys.stdin.readline(_LONGEST_TOKEN).strip()
    elif file:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AgentError(f"the token file cannot be read: {error}") from error
    else:
        token = os.environ.get("INOPSIO_AGENT_TOKEN", "")
    if not token:
        raise AgentError("no token; give --token-file or set INOPSIO_AGENT_TOKEN")
    return token


def begin_shipping(given: Given, said: Settings, spool: Spool, stop: threading.Event) -> Marking:
    """Give the sender; what goes with it works in threads from now on."""
    server = server_of(given, said)
    sends = Sender(server, agent_id(spool), socket.gethostname())
    sends.houses = houses(spool)
    note_half(spool, "ship", os.getpid())
    tell(f"agent {server.sender(agent_id(spool))} ships to {server.url}")
    if server.identity is not None:
        papers = (server.identity, stop, tell)
        # The one that beats: it has the house's word on the time each minute, events or none.
        beats = _begin_beating(server, spool, given.data, stop)
        known = {"houses": lambda: houses(spool), "skew_s": lambda: beats.skew_s}
        threading.Thread(
            target=keep_renewed, args=papers, kwargs=known, name="papers", daemon=True
        ).start()
    # On Windows there are no releases yet, and anybody may make a folder of that name.
    if IS_POSIX and os.access(PLACE / KEY, os.R_OK):
        begin = importlib.import_module("agent.updating").start
        begin(given.data, said, server, stop, functools.partial(houses, spool))
    return Marking(sends, spool, given.data)


def _begin_beating(server: Server, spool: Spool, folder: Path, stop: threading.Event) -> Sender:
    """Beat in a thread of its own, over a connection of its own."""
    sender = Sender(server, agent_id(spool), socket.gethostname())
    orders = Orders(folder / FILE)
    if orders.mended:
        keep(spool, [agent_event("orders_damaged", now_us(), orders.mended)])
    beat = Beat(spool, orders, sender, folder)
    words = (beat, stop, time.time)
    threading.Thread(target=keep_beating, args=words, name="beat", daemon=True).start()
    return sender
