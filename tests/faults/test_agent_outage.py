"""The server goes away for an hour: all come once, and new events do not wait for the old."""

from pathlib import Path

import pytest

from agent.spool import Spool
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import open_door
from tests.agent.outage import outage


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_after_an_hour_away_all_come_once_and_new_ones_do_not_wait(
    settings: Settings,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spool = Spool(tmp_path / "agent" / "spool.sqlite")
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        made, longest_s = outage(door, spool, 3600)
    with capsys.disabled():
        print(f"{made} events, none lost, none doubled; new ones waited {longest_s:g} s at most")
    assert [row["dropped"] for row in spool.queue()] == [0, 0]
    assert longest_s <= 1.5
