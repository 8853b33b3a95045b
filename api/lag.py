"""Know how far the pipelines are behind the log, and turn senders away before it fills up."""

import threading
from collections.abc import Mapping
from typing import Final
from weakref import WeakKeyDictionary

from api.desk import Desk
from storage import telemetry
from storage.database.queries import select
from storage.errors import Overloaded
from storage.log import EventLog
from storage.tenant import Actor, Scope

TOPIC: Final = "raw.events"
KEPT_US: Final = 1_000_000
RETRY_AFTER_S: Final = 5
_NOBODY: Final = Scope("", Actor("system", "lag"), frozenset())
"""Offsets are nobody's rows; with this scope every tenant's row is out of sight."""
_KEPT: WeakKeyDictionary[EventLog, tuple[int, Mapping[int, int]]] = WeakKeyDictionary()
_LOCK: Final = threading.Lock()


def lag_of(desk: Desk) -> Mapping[int, int]:
    """Give partition -> messages not yet read by the slowest flow; kept for one second."""
    now_us = desk.now_us()
    with _LOCK:
        kept = _KEPT.get(desk.log)
    if kept is not None and 0 <= now_us - kept[0] < KEPT_US:
        return kept[1]
    with desk.database.app(_NOBODY) as tx:
        rows = select(tx, "flow_positions", topic=TOPIC)
    read = {int(str(r["partition"])): int(str(r["next_offset"])) for r in rows}
    lag = {
        p: max(0, desk.log.end(TOPIC, p) - read.get(p, 0))
        for p in range(desk.log.partitions(TOPIC))
    }
    telemetry.gauge("inopsio_lag_messages", sum(lag.values()))
    with _LOCK:
        _KEPT[desk.log] = (now_us, lag)
    return lag


def check_lag(desk: Desk) -> None:
    """Pass, or raise Overloaded when a partition is further behind than the settings allow."""
    worst = max(lag_of(desk).values(), default=0)
    if worst > desk.settings.lag_limit:
        raise Overloaded(
            f"the pipelines are {worst} messages behind; wait and send again",
            retry_after_s=RETRY_AFTER_S,
        )
