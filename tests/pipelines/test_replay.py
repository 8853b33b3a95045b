"""A replay claims the same, once; with new rules it claims more; for one tenant if asked."""

from dataclasses import replace

import pytest

from pipelines.flow import run_flow
from pipelines.replay import Replayed, replay
from storage.database import Database
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.settings import Settings
from storage.tenant import Scope
from tests.pipelines.kills import with_rule
from tests.pipelines.test_signals import ruled
from tests.pipelines.windows_events import messages

EVER = (0, 4_000_000_000_000_000)


@pytest.fixture
def played(settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]) -> Settings:
    """Give settings of a house whose flow has read 200 events of each of two tenants."""
    log = MemoryLog(2)
    for tenant in ("acme", "bolt"):
        log.append("raw.events", messages(200, 50, tenant, "one"))
    run_flow(settings, database, log, Lake(settings.data_dir / "lake"), "loop", once=True)
    return settings


def run(settings: Settings, database: Database, tenant: str | None = None) -> Replayed:
    return replay(settings, database, Lake(settings.data_dir / "lake"), *EVER, tenant)


def test_replay_with_the_same_rules_finds_nothing_new(played: Settings, database: Database) -> None:
    told = run(played, database)
    assert told.events == 400
    assert told.new == 0


def test_replay_with_a_new_rule_finds_what_it_would_have_found(
    played: Settings, database: Database
) -> None:
    ruled = with_rule(played)
    assert run(ruled, database, "acme").new == 4
    assert run(ruled, database).new == 4
    assert run(replace(ruled), database).new == 0


def test_replay_correlates_the_claims_of_the_span(played: Settings, database: Database) -> None:
    ruled_ = ruled(played)
    assert run(ruled_, database, "acme").new == 5
    assert run(ruled_, database, "acme").new == 0
