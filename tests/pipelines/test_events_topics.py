"""Normalised events reach their tenant's topic, once, and nobody else's."""

from collections import Counter
from dataclasses import replace

import pytest

from pipelines.flow import run_flow, sinks_of
from pipelines.sinks import events_topics
from storage.database import Database
from storage.errors import InvalidInput
from storage.lake import Lake
from storage.log import EventLog
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.settings import Settings
from storage.tenant import Scope
from storage.wire.batches import batch_of
from tests.pipelines.windows_events import messages

Two = tuple[Scope, Scope]


def run(settings: Settings, database: Database, log: EventLog) -> None:
    run_flow(settings, database, log, Lake(settings.data_dir / "lake"), "loop", once=True)
    while relay(database.writer, log):
        pass


def told(log: EventLog, tenant: str) -> Counter[str]:
    topic = events_topics.topic_of(tenant)
    found: Counter[str] = Counter()
    for partition in range(log.partitions(topic)):
        for message in log.read(topic, partition, 0):
            frame = batch_of(message).frame
            assert set(frame["tenant_id"]) == {tenant} == {message.headers["tenant"]}
            assert message.headers["events"] == str(frame.height)
            found.update(frame["event_id"])
    return found


def stored(database: Database, scope: Scope) -> set[str]:
    with database.app(scope) as tx:
        return {str(row[0]) for row in tx.execute(b"SELECT event_id FROM events").fetchall()}


def test_each_event_is_told_once_also_over_restarts_and_repeats(
    settings: Settings, database: Database, two_tenants: Two
) -> None:
    open_ = replace(settings, events_topics="all")
    log = MemoryLog(2)
    for tenant in ("acme", "bolt"):
        log.append("raw.events", messages(200, 50, tenant, "one"))
    run(open_, database, log)
    log.append("raw.events", messages(200, 50, "acme", "one"))  # sent again
    log.append("raw.events", messages(50, 50, "acme", "two"))
    run(open_, database, log)
    run(open_, database, log)
    for scope, events in zip(two_tenants, (250, 200), strict=True):
        ids = told(log, scope.tenant_id)
        assert set(ids) == stored(database, scope)
        assert (len(ids), max(ids.values())) == (events, 1)


def test_only_the_tenants_of_the_settings_are_told_and_none_by_default(
    settings: Settings, database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(1)
    for tenant in ("acme", "bolt"):
        log.append("raw.events", messages(50, 50, tenant, "one"))
    run(replace(settings, events_topics="bolt, "), database, log)
    assert "events.acme" not in log.topics()
    assert sum(told(log, "bolt").values()) == 50
    assert len(sinks_of(settings)) == len(sinks_of(replace(settings, events_topics="all"))) - 1


def test_a_setting_that_names_no_tenant_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="INOPSIO_EVENTS_TOPICS"):
        events_topics.choose(replace(settings, events_topics="ACME"))
