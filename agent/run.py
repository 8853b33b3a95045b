"""Look, keep, send: the agent's loop."""

import hashlib
import json
import random
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final

from agent.collect import Look, collectors
from agent.errors import AgentError, Away, Refused
from agent.follow import follow
from agent.renewal import keep_renewed
from agent.ship import Server, opener, send
from agent.spool import Batch, Spool

LOG_EVERY_S: Final = 1.0
MACHINE_ID: Final = Path("/etc/machine-id")
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to look at, and how often (seconds)."""

    name: str
    every_s: float
    look: Callable[[int], int]


def agent_id(spool: Spool, machine_id: Path = MACHINE_ID) -> str:
    """Give this agent's lasting identity; made once, kept in the spool.

    A spool that finds itself on another machine (a cloned image) gets an identity of its own: two
    hosts with one identity would have their events taken for repeats.
    """
    try:
        machine = hashlib.sha256(machine_id.read_bytes().strip()).hexdigest()[:32]
    except OSError:
        machine = ""
    known, was = spool.note("agent_id", None), spool.note("machine", machine)
    if known is None or was != machine:
        known = uuid.uuid4().hex
        spool.set_note("agent_id", known)
    spool.set_note("machine", machine)
    return str(known)


def tasks(spool: Spool, logs: list[tuple[Path, str]]) -> list[Task]:
    """Give a task for every collector found, and one for every log file."""
    found = [
        Task(name, module.EVERY_S, partial(_collect, spool, name, module))
        for name, module in collectors().items()
    ]
    return found + [
        Task(f"log:{path}", LOG_EVERY_S, partial(_read_log, spool, path, written_as))
        for path, written_as in logs
    ]


def _collect(spool: Spool, name: str, module: ModuleType, now_us: int) -> int:
    seen: Look = module.collect(spool.note(name, {}), now_us)
    rows = [json.dumps(e, separators=(",", ":")).encode() for e in seen.events]
    return spool.append("events", "ocsf_json", rows, {name: seen.notes})


def _read_log(spool: Spool, path: Path, written_as: str, _now_us: int) -> int:
    stream = f"log:{path}"
    lines, place = follow(path, spool.note(stream, {}))
    return spool.append(stream, written_as, lines, {stream: place}) if lines else 0


def look_once(found: list[Task], now_us: int) -> int:
    """Run every task once; give how many events were kept. A failing one does not stop the rest."""
    kept = 0
    for task in found:
        kept += _looked(task, now_us)
    return kept


def _looked(task: Task, now_us: int) -> int:
    try:
        return task.look(now_us)
    except Exception:  # noqa: BLE001  the agent's loop: one collector must not silence the others
        tell(f"collector {task.name} failed: {traceback.format_exc(limit=3)}")
        return 0


def tell(text: str) -> None:
    """Say something to whoever runs the agent."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201  the agent's only voice


def ship_all(spool: Spool, server: Server) -> int:
    """Send all that waits; give how many rows the server took. Away when it cannot be reached."""
    out, who, host = opener(server), server.sender(agent_id(spool)), socket.gethostname()
    sent = 0
    while (batch := spool.next_batch()) is not None:
        sent += _ship(spool, lambda b: send(out, server, who, host, b), batch)
    return sent


def _ship(spool: Spool, send_: Callable[[Batch], None], batch: Batch) -> int:
    try:
        send_(batch)
    except Refused as no:
        if len(batch.rows) == 1:
            tell(f"one event of stream {batch.stream} given up: {no}")
            spool.give_up(batch)
            return 0
        half = len(batch.rows) // 2
        first = batch._replace(rows=batch.rows[:half])
        second = batch._replace(first=batch.first + half, rows=batch.rows[half:])
        return _ship(spool, send_, first) + _ship(spool, send_, second)
    spool.done(batch)
    return len(batch.rows)


def run(spool: Spool, server: Server, logs: list[tuple[Path, str]], stop: threading.Event) -> None:
    """Look and ship until told to stop; what waits stays on disk."""
    shipper = threading.Thread(target=_ship_on, args=(spool.path, server, stop), daemon=True)
    shipper.start()
    if server.identity is not None:
        papers = (server.identity, stop, tell)
        threading.Thread(target=keep_renewed, args=papers, name="papers", daemon=True).start()
    found = tasks(spool, logs)
    due = dict.fromkeys((t.name for t in found), 0.0)
    while not stop.is_set():
        now_s = time.monotonic()
        for task in found:
            if now_s >= due[task.name]:
                _looked(task, time.time_ns() // 1000)
                due[task.name] = now_s + task.every_s
        stop.wait(max(0.05, min(due.values()) - time.monotonic()))
    shipper.join(5)


def _ship_on(path: Path, server: Server, stop: threading.Event) -> None:
    spool = Spool(path)
    wait_s = FIRST_WAIT_S
    while not stop.is_set():
        try:
            ship_all(spool, server)
            wait_s = FIRST_WAIT_S
            stop.wait(FIRST_WAIT_S)
        except (Away, AgentError) as gone:
            tell(str(gone))
            asked = gone.retry_after_s if isinstance(gone, Away) else 0.0
        except Exception:  # noqa: BLE001  the agent's loop: a full disk must not silence it for good
            tell(f"shipping failed: {traceback.format_exc(limit=3)}")
            asked = 0.0
        else:
            continue
        # Jitter: a thousand agents must not come back in the same second.
        stop.wait(max(asked, wait_s * random.uniform(0.5, 1.5)))  # noqa: S311  not a secret
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)
    spool.close()
