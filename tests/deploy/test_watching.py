"""Let the watch over the agents run as the house runs it: it tells, and waits with silence."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.agent_watch import SILENT_AFTER
from deploy.house import House
from deploy.watching import serve
from storage.database import Database
from storage.database.queries import execute
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.settings import Settings
from storage.tenant import Scope

AGENT = "0196f000-0000-7000-8000-00000000000a"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def house(
    database: Database, settings: Settings, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    told = {"host": "ws-1", "serial": "1", "version": "", "machine": "", "hardware": ""}
    place = {"agent_id": AGENT, "address": "198.51.100.4", "now": NOW}
    with database.app(two_tenants[0]) as tx:
        execute(tx, "agent_add", **told, **place, not_after=NOW + timedelta(days=7))
        execute(tx, "agent_seen", **{**place, "now": NOW - timedelta(hours=1)})
    log = MemoryLog(partitions=1)
    yield House(settings, database, log, Lake(tmp_path / "lake"))
    log.close()


def codes_after(house: House, minutes: list[float]) -> list[str]:
    """Let the watch look once at each of these minutes, the first of which is its begin."""
    stop = threading.Event()
    times = iter(minutes)

    def clock() -> int:
        try:
            at = next(times)
        except StopIteration:
            stop.set()
            at = minutes[-1]
        return int((NOW + timedelta(minutes=at)).timestamp() * 1e6)

    serve(house, stop, clock, every_s=0.001)
    with house.database.writer() as tx:
        rows = tx.execute("SELECT value FROM outbox ORDER BY outbox_id").fetchall()
    return [bytes(v).decode().split('"metadata.event_code":"')[1].split('"')[0] for (v,) in rows]


def test_a_house_that_has_just_begun_calls_nobody_silent(house: House) -> None:
    assert codes_after(house, [0, 1, 4]) == []


def test_later_it_does_once(house: House) -> None:
    after = SILENT_AFTER.total_seconds() / 60 + 1
    assert codes_after(house, [0, after, after + 1, after + 2]) == ["agent_silent"]
