"""Know how far the pipelines are behind the log, and turn senders away before it fills up."""

import threading
from collections.abc import Mapping
from typing import Final
from weakref import WeakKeyDictionary

from api.desk import Desk
from business import CONTRACT
from storage import telemetry
from storage.database.queries import select
from storage.errors import Overloaded
from storage.log import EventLog
from storage.plugins import discover
from storage.tenant import Actor, Scope

TOPIC: Final = "raw.events"
KEPT_US: Final = 1_000_000
RETRY_AFTER_S: Final = 5
TOLD_US: Final = 5_000_000
_NOBODY: Final = Scope("", Actor("system", "lag"), frozenset())
"""Offsets are nobody's rows; with this scope every tenant's row is out of sight."""
_KEPT: WeakKeyDictionary[EventLog, tuple[int, Mapping[int, int]]] = WeakKeyDictionary()
_TOLD: WeakKeyDictionary[EventLog, int] = WeakKeyDictionary()
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


def tell_lag(desk: Desk) -> None:
    """Bring the gauges of every flow and business module up to date; kept for five seconds."""
    now_us = desk.now_us()
    with _LOCK:
        if 0 <= now_us - _TOLD.get(desk.log, -TOLD_US) < TOLD_US:
            return
        _TOLD[desk.log] = now_us
    with desk.database.app(_NOBODY) as tx:
        rows = select(tx, "flow_places")
    telemetry.forget("inopsio_flow_lag_messages")
    for row in rows:
        topic, partition = str(row["topic"]), int(str(row["partition"]))
        telemetry.gauge(
            "inopsio_flow_lag_messages",
            max(0, desk.log.end(topic, partition) - int(str(row["next_offset"]))),
            flow=str(row["flow"]),
            topic=topic,
            partition=str(partition),
        )
    telemetry.forget("inopsio_group_lag_messages")
    known = desk.log.topics()
    for name, module in discover("business", CONTRACT).items():
        for topic in module.TOPICS:
            for partition in range(known.get(topic, 0)):
                _tell_group(desk.log, f"business.{name}", topic, partition)


def _tell_group(log: EventLog, group: str, topic: str, partition: int) -> None:
    lag = log.end(topic, partition) - log.committed(group, topic, partition)
    telemetry.gauge(
        "inopsio_group_lag_messages",
        max(0, lag),
        group=group,
        topic=topic,
        partition=str(partition),
    )


def check_lag(desk: Desk) -> None:
    """Pass, or raise Overloaded when a partition is further behind than the settings allow."""
    worst = max(lag_of(desk).values(), default=0)
    if worst > desk.settings.lag_limit:
        raise Overloaded(
            f"the pipelines are {worst} messages behind; wait and send again",
            retry_after_s=RETRY_AFTER_S,
        )
