"""The server goes away and comes back: all come once, and new events do not wait for the old."""

from pathlib import Path

from agent.spool import Spool
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import open_door
from tests.agent.outage import outage


def test_after_an_absence_all_come_once_and_new_ones_do_not_wait(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "agent" / "spool.sqlite")
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        made, longest_s = outage(door, spool, 20)
        stored = door.stored()
    assert stored.height == stored["event_id"].n_unique() == made
    assert sorted(stored["process.pid"]) == list(range(made))
    assert [row["dropped"] for row in spool.queue()] == [0, 0]
    # The first of the old ones go before the second lane is opened; new ones wait for one more.
    assert longest_s <= 1.5
