"""Kill -9 the pipeline at random: nothing lost, nothing twice, counts as if never interrupted."""

import random

import pytest

from storage.database import Database
from storage.log.sqlite import SqliteLog
from storage.settings import Settings
from storage.tenant import Scope
from tests.pipelines import kills

PER_SOURCE, PER_MESSAGE = 4000, 50


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["loop", "bytewax"])
def test_killed_flow_leaves_what_an_uninterrupted_one_leaves(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], runner: str
) -> None:
    settings = kills.with_rule(settings)
    log = SqliteLog(settings.data_dir / "log.sqlite", partitions=4)
    kills.fill(log, PER_SOURCE, PER_MESSAGE)
    total, dice = 3 * PER_SOURCE // PER_MESSAGE, random.Random(7)
    for _ in range(5 if runner == "bytewax" else 2):
        kills.kill_at_random(settings, database, dice, runner, total)
    kills.finish(settings, database, log)
    expected, found = kills.uninterrupted(settings, log), kills.left(database, two_tenants)
    assert len(expected.events) == 3 * PER_SOURCE
    assert expected.findings
    assert found == expected
    assert kills.lake_rows(settings, database, two_tenants) == sorted(
        str(e[3]) for e in found.events
    )
    log.close()
