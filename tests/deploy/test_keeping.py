"""See that chores forget only what was read and is old, and merge only small files."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.house import House
from deploy.keeping import DAY_US, keep, relieve
from pipelines import signals
from pipelines.dead_letter import RAW_TOPIC
from pipelines.flow import FLOW
from pipelines.sinks import events, window_counts
from pipelines.windows import WINDOW_S, count_windows
from storage.database import Database
from storage.database.commit import commit, insert_lake_files
from storage.database.dialect import DAYS_AHEAD, partitions
from storage.lake import Lake
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outcome import Outcome, PartitionStep
from storage.schema import EventBatch
from storage.settings import Settings
from storage.tenant import system_scope
from tests.storage.made_events import batch_of

NOW_US = 1_790_000_000_000_000


@pytest.fixture
def house(database: Database, settings: Settings) -> Iterator[House]:
    folder = tempfile.TemporaryDirectory()
    old = iter([NOW_US - 30 * DAY_US] * 3 + [NOW_US] * 9)
    log = MemoryLog(partitions=1, now_us=lambda: next(old, NOW_US))
    kept = replace(settings, hot_days=0, raw_days=7)
    yield House(kept, database, log, Lake(Path(folder.name)))
    log.close()
    folder.cleanup()


@pytest.mark.parametrize(("flow", "topic"), [(FLOW, RAW_TOPIC), (signals.FLOW, signals.TOPIC)])
def test_only_old_messages_that_were_read_are_trimmed(house: House, flow: str, topic: str) -> None:
    for _ in range(5):
        house.log.append(topic, [Record(b"k", b"v", {"tenant": "acme"})])
    commit(house.database, Outcome(flow, (PartitionStep(topic, 0, 0, 2, 0),)), [])
    keep(house, NOW_US)
    assert [m.offset for m in house.log.read(topic, 0, 0)] == [2, 3, 4]


def test_hot_days_are_kept_unless_a_limit_is_set(house: House) -> None:
    house.database.create_tenant("acme", "Acme")
    batch = batch_of("acme", 10)
    _commit_events(house, batch_of("acme", 10))
    keep(house, NOW_US)
    assert _events(house) == len(batch)
    keep(replace(house, settings=replace(house.settings, hot_days=1)), NOW_US + 10**17)
    assert _events(house) == 0


def test_small_files_merge_between_the_chores_and_a_broken_tenant_stops_no_other(
    house: House,
) -> None:
    for tenant in ("acme", "bolt"):
        house.database.create_tenant(tenant, tenant)
    for i in range(4):
        both = [batch_of(t, 5, first=i * 5, classes=(1007,)) for t in ("acme", "bolt")]
        files = house.lake.write(both, "raw", 0, i, i)
        with house.database.writer() as tx:
            insert_lake_files(tx, files)
    (house.lake.root / files[0].path).write_bytes(b"no file")
    resting: set[str] = set()
    relieve(house, resting)
    assert resting == {"acme"}
    assert house.lake.crowded(house.database) == ["acme"]


def _commit_events(house: House, batch: EventBatch) -> None:
    step = PartitionStep(RAW_TOPIC, 0, 0, 1, 0)
    commit(house.database, Outcome(FLOW, (step,), (batch,)), [events.write])


def _events(house: House) -> int:
    with house.database.app(system_scope("acme", "test")) as tx:
        row = tx.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None
    return int(row[0])


def test_days_ahead_are_there_before_their_events(house: House) -> None:
    today = datetime.now(UTC).date()
    keep(house, int(datetime.now(UTC).timestamp()) * 1_000_000)
    made = {p.day for p in partitions(house.database)}
    assert {today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)} <= made


def test_counts_are_folded_by_the_keeper(house: House) -> None:
    step = PartitionStep(RAW_TOPIC, 0, 0, 1, 0)
    counted = count_windows(batch_of("acme", 10).frame, WINDOW_S)
    commit(house.database, Outcome(FLOW, (step,), window_counts=counted), [window_counts.write])
    keep(house, NOW_US)
    with house.database.app(system_scope("acme", "test")) as tx:
        assert tx.execute("SELECT sum(events) FROM entity_days").fetchone() == (10,)
