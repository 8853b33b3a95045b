"""Retry and replay on the embedded log and on a real Kafka: done twice, they double nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.decode import Parse, Run
from pipelines.flow import house_of, run_flow, signals_of
from pipelines.letters import Retried, letters, retry
from pipelines.replay import replay
from pipelines.step import House
from storage.database import Database
from storage.errors import InvalidInput
from storage.lake import Lake
from storage.log import EventLog, Record
from storage.log.sqlite import SqliteLog
from storage.outbox import relay
from storage.outcome import finding_of
from storage.settings import Settings
from storage.tenant import Scope
from tests.pipelines.kills import with_rule
from tests.pipelines.windows_events import messages
from tests.storage.test_log_kafka import house as on_kafka
from tests.storage.test_log_kafka import log_of

Two = tuple[Scope, Scope]


@pytest.fixture(params=["sqlite", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    made: EventLog = (
        SqliteLog(tmp_path / "log.sqlite", partitions=2)
        if request.param == "sqlite"
        else log_of(replace(on_kafka(), partitions=2))
    )
    with closing(made):
        yield made


def run(settings: Settings, database: Database, log: EventLog, house: House | None = None) -> None:
    lake = Lake(settings.data_dir / "lake")
    run_flow(settings, database, log, lake, "loop", once=True, house=house)
    while relay(database.writer, log):
        pass


def refusing(run: Run) -> Iterator[tuple[object, list[object]]]:
    raise InvalidInput(f"a parser with a fault of {len(run)}")
    yield


def count(database: Database, scope: Scope, table: str) -> int:
    with database.app(scope) as tx:
        row = tx.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_retry_twice_and_a_relay_that_repeats_double_no_event(
    settings: Settings, database: Database, two_tenants: Two, log: EventLog
) -> None:
    parse: Parse = refusing  # type: ignore[assignment]  # it gives nothing at all
    broken = replace(house_of(settings), parse=parse)
    log.append("raw.events", messages(50, 50, "acme", "one"))
    run(settings, database, log, broken)
    (letter,) = letters(log)
    assert letter.place == f"raw.events/{letter.partition}@0"
    assert count(database, two_tenants[0], "events") == 0
    assert retry(database, log, "test") == Retried(1)
    assert retry(database, log, "test") == Retried(0, {"it was put back before": 1})
    for _ in range(2):
        run(settings, database, log)
    # A relay that died between its two writes tells it once more.
    raw = [m for p in range(log.partitions("raw.events")) for m in log.read("raw.events", p, 0)]
    again = [Record(m.key, m.value, m.headers) for m in raw if "id" in m.headers]
    assert len(again) == 1
    log.append("raw.events", again)
    run(settings, database, log)
    assert count(database, two_tenants[0], "events") == 50


def test_replay_twice_through_new_rules_doubles_no_finding_anywhere(
    settings: Settings, database: Database, two_tenants: Two, log: EventLog
) -> None:
    log.append("raw.events", messages(200, 50, "acme", "one"))
    run(settings, database, log)
    before = count(database, two_tenants[0], "findings")
    ruled = with_rule(settings)
    lake = Lake(settings.data_dir / "lake")
    new = [replay(ruled, database, lake, 0, 4 * 10**15, "acme").new for _ in range(2)]
    assert new == [4, 0]
    run(ruled, database, log)
    run(ruled, database, log, signals_of(house_of(ruled)))
    assert count(database, two_tenants[0], "findings") == before + 4
    told = Counter(
        finding_of(message.value).finding_id
        for partition in range(log.partitions("findings"))
        for message in log.read("findings", partition, 0)
    )
    assert set(told.values()) <= {1}
    assert replay(ruled, database, lake, 0, 4 * 10**15, "acme").new == 0
