"""Run what waits in the ledger, each piece of work in a process of its own.

The process is `python -m MODULE TENANT ID`. What it does is safe to be killed at any moment: the
ledger knows how far it came.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog
from psycopg import Connection
from psycopg.rows import TupleRow

from deploy.house import House
from storage.errors import InopsioError

log = structlog.get_logger()
PAUSE_S: Final = 1.0
_LOOK_S: Final = 0.1
Look = Callable[[Connection[TupleRow]], list[tuple[str, str]]]
"""As the writer: give (tenant, id) of what waits, the most urgent first."""
Place = tuple[str, str]


def nobody(tenant: str, work_id: str) -> None:
    """Do nothing about a process that failed."""


def serve(
    house: House,
    stop: threading.Event,
    look: Look,
    module: str,
    at_once: int = 1,
    failed: Callable[[str, str], None] = nobody,
) -> None:
    """Run what waits until told to stop, `at_once` together and one of a tenant.

    What cannot be run does not stop the others; `failed` hears of processes that ended badly.
    """
    running: dict[Place, subprocess.Popen[bytes]] = {}
    try:
        while not stop.wait(_LOOK_S if running else PAUSE_S):
            _fetch(running, failed)
            if len(running) < at_once:
                _begin(running, _waiting(house, look), module, at_once)
    finally:
        for child in running.values():
            child.kill()
            child.wait()


def _waiting(house: House, look: Look) -> list[Place]:
    try:
        with house.database.writer() as tx:
            return look(tx)
    except InopsioError as down:
        log.warning("work_not_looked_at", reason=str(down)[:300])
        return []


def _begin(
    running: dict[Place, subprocess.Popen[bytes]], waiting: list[Place], module: str, at_once: int
) -> None:
    for tenant, work_id in waiting:
        if len(running) >= at_once:
            return
        if any(of == tenant for of, _ in running):
            continue
        words = [sys.executable, "-m", module, tenant, work_id]
        running[tenant, work_id] = subprocess.Popen(words, stdin=subprocess.DEVNULL)


def _fetch(
    running: dict[Place, subprocess.Popen[bytes]], failed: Callable[[str, str], None]
) -> None:
    for place in [place for place, child in running.items() if child.poll() is not None]:
        code = running.pop(place).returncode
        if code:
            log.warning("work_ended_badly", tenant=place[0], work=place[1], code=code)
            failed(*place)
