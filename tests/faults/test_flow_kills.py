"""Kill -9 the pipeline fifty times; `make faults` runs this."""

import random

import pytest

from storage.database import Database
from storage.log.sqlite import SqliteLog
from storage.settings import Settings
from storage.tenant import Scope
from tests.pipelines import kills

KILLS, PER_SOURCE, PER_MESSAGE = 50, 30_000, 50


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("runner", ["loop", "bytewax"])
def test_fifty_kills_lose_nothing_and_double_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], runner: str
) -> None:
    settings = kills.with_rule(settings)
    log = SqliteLog(settings.data_dir / "log.sqlite", partitions=4)
    kills.fill(log, PER_SOURCE, PER_MESSAGE)
    total, dice = 3 * PER_SOURCE // PER_MESSAGE, random.Random(11)
    progress = [kills.kill_at_random(settings, database, dice, runner, total) for _ in range(KILLS)]
    assert sum(step > 0 for step in progress) >= KILLS // 2
    kills.finish(settings, database, log)
    expected, found = kills.uninterrupted(settings, log), kills.left(database, two_tenants)
    assert len(expected.events) == 3 * PER_SOURCE
    assert expected.findings
    assert found == expected
    lake = kills.lake_rows(settings, database, two_tenants)
    assert lake == sorted(str(event[3]) for event in found.events)
    log.close()
