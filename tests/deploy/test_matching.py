"""Search the past for what is new: once, the new alone, whatever is killed on the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from deploy import matching
from deploy.house import House, opened
from storage.database.rows import insert_lake_files
from storage.indicator_matches import newest_matches, waiting_matches
from storage.indicators import put_indicators
from storage.schema import EventBatch
from storage.schema.indicator import Indicator
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.detectors.streams import frame_of

ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))
DAY_US = 86_400_000_000
NOW_US = time.time_ns() // 1000


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(Settings(data_dir=tmp_path_factory.mktemp("house"))) as made:
        for number, tenant in enumerate(("acme", "bolt")):
            made.database.create_tenant(tenant, tenant)
            rows = [
                {"tenant_id": tenant, "time_us": NOW_US - day * DAY_US - hour, "class_uid": 4003}
                | {"query.hostname": name, "device.hostname": f"pc{day}"}
                for day in (0, 1, 2, 40, 89, 95)
                for hour, name in ((0, "www.bad.example"), (1, "old.example"), (2, "fine.example"))
            ]
            batch = EventBatch.of(frame_of(sorted(rows, key=lambda row: int(str(row["time_us"])))))
            files = made.lake.write(batch, "events", number, 0, len(batch) - 1)
            with made.database.writer() as tx:
                insert_lake_files(tx, files)
        yield made


def put(house: House, *names: str) -> None:
    found = [Indicator("domain", name, 0, None, 90, "list") for name in names]
    with house.database.app(ACME) as tx:
        put_indicators(ACME, tx, "list", found)


def waiting(house: House) -> list[tuple[str, str]]:
    with house.database.writer() as tx:
        return waiting_matches(tx, 0)


def search(house: House) -> dict[str, object]:
    ((tenant, match_id),) = waiting(house)
    assert matching.run(house, tenant, match_id)
    return told(house)


def told(house: House) -> dict[str, object]:
    with house.database.app(ACME) as tx:
        return newest_matches(ACME, tx)[0]


def findings(house: House) -> list[tuple[str, str, str]]:
    with house.database.app(ACME) as tx:
        rows = tx.execute(
            "SELECT tenant_id, entity, reasons -> 0 ->> 'value' FROM findings ORDER BY 2, 3"
        ).fetchall()
    return [(str(a), str(b), str(c)) for a, b, c in rows]


def test_the_new_alone_is_found_in_ninety_days_of_its_own_tenant(house: House) -> None:
    put(house, "bad.example")
    done = search(house)
    assert (done["status"], done["indicators"], done["findings"]) == ("done", 1, 5)
    assert done["events"] == 15
    assert findings(house) == [("acme", f"pc{day}", "bad.example") for day in (0, 1, 2, 40, 89)]
    put(house, "bad.example", "old.example")
    done = search(house)
    assert (done["indicators"], done["findings"]) == (1, 5)
    assert len(findings(house)) == 10
    assert waiting(house) == []


def test_nothing_new_asks_for_no_search_and_searched_twice_is_found_once(house: House) -> None:
    put(house, "bad.example")
    search(house)
    put(house, "bad.example")
    assert waiting(house) == []
    with house.database.app(ACME) as tx:
        tx.execute("UPDATE indicators SET match_id = NULL")
        put_indicators(ACME, tx, "list", [Indicator("domain", "x.example", 0, None, 90, "list")])
    done = search(house)
    assert (done["indicators"], done["findings"]) == (2, 0)
    assert len(findings(house)) == 5


def test_it_goes_back_day_by_day_and_is_taken_up_where_it_was(house: House) -> None:
    put(house, "bad.example")
    ((_, match_id),) = waiting(house)
    halfway = datetime.fromtimestamp((NOW_US // DAY_US - 10) * DAY_US / 1e6, UTC)
    with house.database.app(ACME) as tx:
        tx.execute(
            "UPDATE indicator_matches SET status = 'running', reached = %s, attempts = 1,"
            " beat_at = now() - interval '5 minutes'",
            (halfway,),
        )
    assert matching.run(house, "acme", match_id)
    assert [who for _, who, _ in findings(house)] == ["pc40", "pc89"]


def test_killed_in_the_middle_it_finds_everything_once(house: House) -> None:
    put(house, "bad.example", "old.example")
    ((_, match_id),) = waiting(house)
    words = [sys.executable, "-m", "deploy.matching", "acme", match_id]
    place = {"INOPSIO_DATA_DIR": str(house.settings.data_dir)}
    with house.database.owner() as tx:
        # The first claim waits here: killed there, claim and progress are both undone.
        tx.execute("LOCK TABLE findings IN SHARE MODE")
        with subprocess.Popen(words, env=os.environ | place) as child:
            end = time.monotonic() + 30
            while not _waits_for_a_lock(house) and time.monotonic() < end:
                time.sleep(0.05)
            child.send_signal(signal.SIGKILL)
    assert told(house)["status"] == "running"
    with house.database.app(ACME) as tx:
        tx.execute("UPDATE indicator_matches SET beat_at = now() - interval '3 minutes'")
    assert matching.run(house, "acme", match_id)
    assert told(house)["status"] == "done"
    assert len(findings(house)) == 10 == told(house)["findings"]


def _waits_for_a_lock(house: House) -> bool:
    with house.database.owner() as tx:
        row = tx.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(row and row[0])


def test_a_search_that_gets_nowhere_is_given_up_in_words(house: House) -> None:
    put(house, "bad.example")
    ((_, match_id),) = waiting(house)
    with house.database.app(ACME) as tx:
        tx.execute(
            "UPDATE indicator_matches SET status = 'running', attempts = 3,"
            " beat_at = now() - interval '5 minutes'"
        )
    assert not matching.run(house, "acme", match_id)
    assert told(house)["status"] == "failed"
    assert "inopsio intel match" in str(told(house)["reason"])


def test_the_house_searches_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INOPSIO_DATA_DIR", str(house.settings.data_dir))
    put(house, "bad.example")
    stop = threading.Event()
    keeper = threading.Thread(target=matching.serve, args=(house, stop, 0.0))
    keeper.start()
    try:
        end = time.monotonic() + 40
        while told(house)["status"] != "done" and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        stop.set()
        keeper.join()
    assert told(house)["findings"] == 5
