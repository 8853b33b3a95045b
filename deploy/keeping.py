"""Keep the house tidy: days made ahead, counts folded, small lake files merged, the old gone."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from api.agent_actions import expire_silent
from deploy.house import House
from pipelines import signals
from pipelines.dead_letter import RAW_TOPIC
from pipelines.flow import FLOW
from pipelines.sinks.events_topics import TOPICS as EVENTS_TOPICS
from storage.database import Database
from storage.database.commit import flow_position
from storage.database.dialect import prepare_days
from storage.database.rollups import fold
from storage.errors import InopsioError
from storage.outcome import LakeFile
from storage.retention import forget_lake, forget_old
from storage.tenant import system_scope

log = structlog.get_logger()
EVERY_S: Final = 600.0
LOOK_S: Final = 15.0
"""Between two looks for tenants with many small lake files: one query each."""
DAY_US: Final = 86_400 * 1_000_000
_AT_ONCE: Final = 1000


def keep(house: House, now_us: int) -> None:
    """Do every chore once; one that fails is logged and does not stop the others."""
    for chore in (_prepare, _fold, _merge, _forget, _trim, _trim_events, _end_waits):
        _do(chore, house, now_us)


def _do(chore: Callable[[House, int], None], house: House, now_us: int) -> None:
    try:
        chore(house, now_us)
    except InopsioError as error:
        log.warning("chore_failed", chore=chore.__name__.strip("_"), reason=str(error)[:300])


def keep_on(house: House, stop: threading.Event, now_us: Callable[[], int]) -> None:
    """Fold counts and merge small files often, do all chores every ten minutes, until told."""
    resting: set[str] = set()
    looks = 0
    _do(_prepare, house, now_us())
    while not stop.wait(LOOK_S):
        looks += 1
        _do(_fold, house, now_us())
        if looks * LOOK_S < EVERY_S:
            relieve(house, resting)
        else:
            looks = 0
            resting.clear()
            keep(house, now_us())


def relieve(house: House, resting: set[str]) -> None:
    """Merge where small files pile up; a tenant whose merge fails comes into `resting`."""
    try:
        crowded = house.lake.crowded(house.database)
    except InopsioError as error:
        log.warning("lake_not_looked_at", reason=str(error)[:300])
        return
    for tenant in crowded:
        if tenant not in resting and not _merged(house, tenant, house.lake.merge):
            resting.add(tenant)


def _merge(house: House, _now_us: int) -> None:
    for tenant in house.database.tenants():
        _merged(house, tenant, house.lake.compact)


def _merged(house: House, tenant: str, merge: Callable[[Database, str], list[LakeFile]]) -> bool:
    try:
        made = merge(house.database, tenant)
    except InopsioError as error:
        log.warning("lake_not_compacted", tenant=tenant, reason=str(error)[:300])
        return False
    if made:
        log.info("lake_compacted", tenant=tenant, files=len(made))
    return True


def _forget(house: House, now_us: int) -> None:
    gone = forget_old(house.database, house.settings, now_us)
    files = forget_lake(house.database, house.lake, house.settings, now_us)
    if gone or files:
        log.info("old_forgotten", **gone, lake_files=files)


def _prepare(house: House, now_us: int) -> None:
    prepare_days(house.database, now_us)


def _fold(house: House, _now_us: int) -> None:
    fold(house.database)


def _trim(house: House, now_us: int) -> None:
    """Forget what a flow has read of its topic and is older than the setting; others are kept."""
    limit_us = now_us - house.settings.raw_days * DAY_US
    for flow, read in ((FLOW, RAW_TOPIC), (signals.FLOW, signals.TOPIC)):
        for (topic, partition), (next_offset, _) in flow_position(house.database, flow).items():
            if topic != read:
                continue
            before = _first_kept(house, topic, partition, next_offset, limit_us)
            gone = house.log.trim(topic, partition, before) if before else 0
            if gone:
                log.info("log_trimmed", topic=topic, partition=partition, messages=gone)


def _trim_events(house: House, now_us: int) -> None:
    """Forget what is older on the topics for readers outside, whether they have read it or not."""
    limit_us = now_us - house.settings.raw_days * DAY_US
    for topic, partitions in house.log.topics().items():
        if not topic.startswith(EVENTS_TOPICS):
            continue
        for partition in range(partitions):
            end = house.log.end(topic, partition)
            before = _first_kept(house, topic, partition, end, limit_us)
            gone = house.log.trim(topic, partition, before) if before else 0
            if gone:
                log.info("log_trimmed", topic=topic, partition=partition, messages=gone)


def _end_waits(house: House, now_us: int) -> None:
    """End what waits for agents that are silent for good, and drop what they left half handed."""
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    for tenant in house.database.tenants():
        ended = expire_silent(house.database, system_scope(tenant, "keeping"), now)
        if ended:
            log.info("actions_expired", tenant=tenant, actions=ended)


def _first_kept(house: House, topic: str, partition: int, next_offset: int, limit_us: int) -> int:
    place = 0
    while found := house.log.read(topic, partition, place, _AT_ONCE):
        for message in found:
            if message.offset >= next_offset or message.appended_at_us >= limit_us:
                return min(message.offset, next_offset)
        place = found[-1].offset + 1
    return min(place, next_offset)
