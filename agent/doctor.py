"""Say what hinders the agent, from the name of the server to its own rights, and the way out."""

import contextlib
import http.client
import importlib
import shutil
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.deliver import ACCEPTED
from agent.errors import AgentError, Away, Refused
from agent.halves import houses, is_alive
from agent.health import HEALTH
from agent.keep import dropped_lately
from agent.ship import Sender, Server
from agent.spool import Batch, Spool
from agent.spool_file import NAME, Damaged
from agent.system import IS_POSIX

MOST_SKEW_S: Final = 300.0
LEAST_FREE: Final = 200 << 20
MOST_SILENT_S: Final = 300.0
"""The agent says how it is each minute."""
MOST_UNSENT_S: Final = 900.0
TIMEOUT_S: Final = 10
_START: Final = (
    "systemctl start inopsio-agent inopsio-agent-watch, or inopsio-agent run where no systemd is"
    if IS_POSIX
    else "start the service InopsioAgent"
)
_WAIT: Final = "wait a minute if it was started just now; else see the lines above, and its journal"
SET_CLOCK: Final = "systemctl enable --now systemd-timesyncd" if IS_POSIX else "w32tm /resync"


@dataclass(frozen=True, slots=True)
class Found:
    """One examination: well or not, what was found, what to do."""

    is_ok: bool
    name: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        """Give one line."""
        end = f"; {self.fix}" if self.fix and not self.is_ok else ""
        return f"{'ok  ' if self.is_ok else 'FAIL'} {self.name}: {self.text}{end}"


def known(data: Path) -> list[tuple[str, int]]:
    """Give where the house was reached before; nothing where the spool cannot say it."""
    if not (data / "spool.sqlite").exists():
        return []
    try:
        with contextlib.closing(Spool(data / "spool.sqlite")) as spool:
            return houses(spool)
    except Exception:  # noqa: BLE001  a broken file says anything; the queue's examination tells it
        return []


def examine(server: Server, data: Path, known: Sequence[tuple[str, int]] = ()) -> Iterator[Found]:
    """Examine one after the other; what cannot work without an earlier one is left out.

    `known`: where the house was reached before: an isolated host has no name servers.
    """
    yield from _road(server, list(known) if server.identity else [])
    yield from _queue(data)
    if sys.platform == "linux":
        rights = importlib.import_module("agent.collect.linux._rights")
        for name, why_not, text, fix in rights.rights():
            yield Found(not why_not, name, why_not or text, fix)


def _road(server: Server, known: list[tuple[str, int]]) -> Iterator[Found]:
    parts = urllib.parse.urlsplit(server.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
        yield Found(True, "name", f"{host} is {address}")
        address = host  # all of its addresses are tried
    except OSError as wrong:
        fix = "check --url and the host's DNS; an isolated host has none"
        yield Found(False, "name", f"{host}: {wrong}", fix)
        if not known:
            return
        address, port = known[0]
        yield Found(True, "address", f"the house was at {address} before: that is tried")
    try:
        link = socket.create_connection((address, port), TIMEOUT_S)
    except OSError as wrong:
        fix = "check that the server listens there and no firewall lies between"
        yield Found(False, "connection", f"{host}:{port}: {wrong}", fix)
        return
    with link:
        yield Found(True, "connection", f"{host}:{port} answers")
        if parts.scheme == "https":
            found = _certificate(server, link, host)
            yield found
            if not found.is_ok:
                return
    yield from _door(server, known)


def _certificate(server: Server, link: socket.socket, host: str) -> Found:
    try:
        with server.context().wrap_socket(link, server_hostname=host) as safe:
            return Found(True, "certificate", f"{safe.version()}, issued by a CA that is trusted")
    except ssl.SSLCertVerificationError as wrong:
        fix = "give the CA of the server with --ca, or the name that its certificate has in --url"
        return Found(False, "certificate", wrong.verify_message, fix)
    except (OSError, AgentError) as wrong:
        return Found(False, "certificate", str(wrong), "check --ca, and what listens at that port")


def _door(server: Server, known: list[tuple[str, int]]) -> Iterator[Found]:
    """Ask to keep nothing: a door that knows the token refuses an empty body; no event is made."""
    sender = Sender(server, "doctor", socket.gethostname())
    sender.houses = known
    name = "certificate" if server.identity else "token"
    try:
        if server.identity:
            sender.greet()
        else:
            sender.send(Batch("doctor", "ocsf_json", 0, []))
        yield Found(True, name, "the server takes events from this agent")
    except Refused:
        yield Found(True, name, "the server takes events from this agent")
    except Away as said:
        text = str(said)
        fix = "wait: the server asks to" if " 429" in text or " 503" in text else ""
        again = "enrol again" if server.identity else "make a new token"
        fix = fix or f"{again}: the Agents page gives the command"
        yield Found(False, name, text, fix)
    except (AgentError, http.client.HTTPException) as wrong:
        yield Found(False, name, str(wrong), "check --url: does the house listen there?")
    finally:
        sender.close()
    if sender.skew_s is not None:
        is_ok = abs(sender.skew_s) <= MOST_SKEW_S
        fix = f"set the clock ({SET_CLOCK})"
        yield Found(is_ok, "clock", f"the server's is {sender.skew_s:+.1f} s from this one", fix)


def _queue(data: Path) -> Iterator[Found]:
    path = data / NAME
    if not path.exists():
        yield Found(False, "looks", f"no agent has run with {data} yet", _START)
        yield Found(True, "queue", f"none in {data} yet")
        return
    try:
        with contextlib.closing(Spool(path)) as spool:
            found = [*_life(spool, time.time_ns() // 1000), _waiting(spool)]
    except Damaged as wrong:
        fix = f"restart the agent: it sets {path} aside and begins a new one"
        yield Found(False, "queue", f"{path} is damaged: {wrong.why}", fix)
    except Exception as wrong:  # noqa: BLE001  a broken file says anything
        fix = f"move {path} away; the agent begins a new one"
        yield Found(False, "queue", f"{type(wrong).__name__}: {wrong}", fix)
    else:
        yield from found
    free = shutil.disk_usage(data).free
    fix = f"make room on the disk of {data}"
    yield Found(free >= LEAST_FREE, "disk", f"{free >> 20} MB free", fix)


def _life(spool: Spool, now_us: int) -> Iterator[Found]:
    """Say whether the agent runs: by its processes, by its last word, by what the house took."""
    said_us = spool.note(HEALTH, {}).get("at_us", 0)
    taken_us = spool.note(ACCEPTED, {}).get("at_us", 0)
    for half, name, at_us, most_s, what in (
        ("look", "looks", said_us, MOST_SILENT_S, "its last word on itself"),
        ("ship", "ships", taken_us, MOST_UNSENT_S, "the last batch that the house took"),
    ):
        age_s = (now_us - at_us) / 1e6
        when = f"{what} is {age_s:.0f} s old" if at_us else f"{what}: none yet"
        if is_alive(spool, half) is False:
            yield Found(False, name, f"no process of it runs; {when}", _START)
        else:
            is_ok = bool(at_us) and age_s <= most_s
            yield Found(is_ok, name, f"it runs; {when}", _WAIT)


def _waiting(spool: Spool) -> Found:
    rows = spool.queue()
    waiting = sum(int(str(row["waiting"])) for row in rows)
    ever = sum(int(str(row["dropped"])) for row in rows)
    dropped = dropped_lately(spool, time.time_ns() // 1000)
    fix = "the spool was full or the server refused them: give it more room (spool_mb)"
    text = f"{waiting} events wait, {dropped} were dropped in the last day, {ever} ever"
    return Found(dropped == 0, "queue", text, fix)
