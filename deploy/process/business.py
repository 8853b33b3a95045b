"""Consume findings into incidents, tell the log what the ledger promised, keep the house tidy.

Beside that: run the back-tests that people asked for, poll feeds, search the past for what is new,
watch over the agents.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from business._consume import consume
from deploy import backtesting, matching, polling, watching
from deploy.house import House, opened
from deploy.keeping import keep_on
from deploy.running import until_told_to_stop
from storage import telemetry
from storage.errors import Unavailable
from storage.outbox import relay
from storage.settings import Settings

log = structlog.get_logger()
PAUSE_S: Final = 0.2
LONGEST_WAIT_S: Final = 30.0
ROWS: Final = 1000


def run(settings: Settings) -> None:
    """Run the consumers, the outbox's relay and what waits for its turn until told to stop."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        beside: dict[str, tuple[Callable[..., None], tuple[object, ...]]] = {
            "outbox": (_tell, (house, stop)),
            "keeper": (keep_on, (house, stop, _now_us)),
            "backtests": (backtesting.serve, (house, stop)),
            "feeds": (polling.serve, (house, stop)),
            "matches": (matching.serve, (house, stop)),
            "agents": (watching.serve, (house, stop, _now_us)),
        }
        threads = [
            threading.Thread(target=_or_end, args=(stop, work, *given), name=name)
            for name, (work, given) in beside.items()
        ]
        for thread in threads:
            thread.start()
        try:
            consume(house.database, house.log, stop)
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def _or_end(stop: threading.Event, work: Callable[..., None], *given: object) -> None:
    """Do the work; if it fails, end the process: without its outbox it would only seem to live."""
    try:
        work(*given)
    finally:
        stop.set()


def _now_us() -> int:
    return time.time_ns() // 1000


def _tell(house: House, stop: threading.Event) -> None:
    wait_s = PAUSE_S
    is_after_break = True
    while not stop.is_set():
        try:
            told = relay(house.database.writer, house.log, ROWS, is_after_break)
            wait_s = PAUSE_S
            # Not before a turn was ours: until then another relay may break off.
            is_after_break = is_after_break and not told
        except Unavailable as down:
            told = 0
            is_after_break = True
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            log.warning("outbox_waits", reason=str(down), wait_s=wait_s)
        telemetry.gauge("inopsio_outbox_rows", 0 if told < ROWS else told)
        if told == 0:
            stop.wait(wait_s)
