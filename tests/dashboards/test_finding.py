import threading
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from dashboards.read import finding as read
from dashboards.read.happenings import facts_near, lane_of
from dashboards.read.names import key_of
from dashboards.read.patience import within
from dashboards.read.processes import process_trees
from dashboards.ui.process_tree import process_tree
from storage.database.dialect import ensure_days
from storage.database.rows import copy_events, insert_findings, insert_lake_files
from storage.errors import Unavailable
from storage.identity import event_ids
from storage.schema import EventBatch, Finding, dtypes
from storage.schema.finding import finding_id
from storage.tenant import Role
from tests.api.conftest import START_US
from tests.dashboards.conftest import MINUTE_US, House, some_findings

START = datetime.fromtimestamp(START_US / 1e6, UTC)


def stored(house: House, rows: list[dict[str, object]]) -> list[str]:
    """Put events into the hot days and the lake of acme, a minute apart; give their ids."""
    count = len(rows)
    names = sorted({name for row in rows for name in row})
    types = dtypes()
    known = {
        "tenant_id": ["acme"] * count,
        "time": [START + timedelta(minutes=i) for i in range(count)],
        "ingested_at": [START] * count,
        "source": ["told"] * count,
        "position": list(range(count)),
        "is_late": [False] * count,
        "is_time_clamped": [False] * count,
        "category_uid": [1] * count,
        "severity_id": [1] * count,
        "type_uid": [0] * count,
        "metadata.log_format": ["made"] * count,
        "metadata.product.name": ["made"] * count,
    }
    told = {n: pl.Series([r.get(n) for r in rows], dtype=types[n]) for n in names}
    frame = pl.DataFrame({**known, **told})
    ids = event_ids("acme", "told", frame["time"].dt.epoch("us"), frame["position"])
    kept = {n: t for n, t in types.items() if n in {*frame.columns, "event_id"}}
    batch = EventBatch.of(frame.with_columns(ids).cast(pl.Schema(kept)))
    files = house.console.lake.write(batch, "events", 1, 0, count - 1)
    ensure_days(house.database, [START_US // 86_400_000_000])
    with house.database.writer() as tx:
        copy_events(tx, batch)
        insert_lake_files(tx, files)
    return [str(name) for name in batch.frame["event_id"]]


def started(pid: int, parent: int, program: str, command: str) -> dict[str, object]:
    return {
        "class_uid": 1007,
        "activity_id": 1,
        "device.hostname": "WS-1.corp.example",
        "process.pid": pid,
        "process.file.path": f"C:\\{program}",
        "process.cmd_line": command,
        "process.parent_process.pid": parent,
        "process.parent_process.file.path": "C:\\explorer.exe",
    }


def test_the_process_tree_has_ancestors_and_descendants_of_the_evidence(house: House) -> None:
    ids = stored(
        house,
        [
            started(20, 10, "word.exe", "word a.docm"),
            started(30, 20, "shell.exe", "<script>shell</script>"),
            started(40, 30, "net.exe", "net user"),
            started(50, 10, "chat.exe", "chat"),
            started(60, 50, "helper.exe", "help"),
        ],
    )
    at = START + timedelta(minutes=1)
    args = (house.database, house.console.lake, house.acme, "ws-1", [ids[1]], at)
    (root,) = process_trees(*args)
    word, chat = root.children
    assert (root.name, root.time, word.name, chat.name) == (
        "explorer.exe",
        None,
        "word.exe",
        "chat.exe",
    )
    assert [c.name for c in word.children[0].children] == ["net.exe"]
    assert word.children[0].is_evidence
    assert (chat.children, chat.left_out) == ([], 1)
    shown = str(process_tree([root], at))
    assert "role='tree'" in shown
    assert "<script>shell</script>" in shown


def test_parents_that_name_each_other_make_no_endless_tree(house: House) -> None:
    ids = stored(house, [started(1, 2, "a.exe", "a"), started(2, 1, "b.exe", "b")])
    trees = process_trees(house.database, house.console.lake, house.acme, "ws-1", ids, START)
    assert len(trees) == 1


def test_a_correlation_tells_its_parts_in_order_and_leads_to_each(filled: House) -> None:
    parts = filled.finding_ids(filled.acme)
    whole = Finding(
        finding_id=finding_id("acme", "correlation", "1", "chain", "x"),
        tenant_id="acme",
        detector="correlation",
        detector_version="1",
        rule_id="chain",
        title="Chain of three",
        level="critical",
        time_us=START_US + 5 * MINUTE_US,
        entity_type="user",
        entity="user alpha",
        event_ids=(),
        parts=tuple(parts),
    )
    with filled.database.writer() as tx:
        insert_findings(tx, [whole])
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, f"/finding/{whole.finding_id}")
    places = [shown.index(f"/finding/{part}") for part in parts]
    assert places == sorted(places)
    assert "3 steps" in shown
    assert "60 s later" in shown


def test_mails_and_business_facts_of_a_person_are_found_whatever_their_name(house: House) -> None:
    stored(
        house,
        [
            {
                "class_uid": 4009,
                "activity_id": 2,
                "email.to": "x@corp.example; ann.lee@corp.example",
            },
            {"class_uid": 999002, "activity_id": 1, "actor.user.name": "CORP\\Ann.Lee"},
            {"class_uid": 999002, "activity_id": 1, "actor.user.name": "bo"},
        ],
    )
    keys = [key_of("user", "ann.lee")]
    until = START + timedelta(hours=1)
    found = facts_near(house.database, house.console.lake, house.acme, keys, START, until, 50)
    assert [lane_of(e) for e in found] == ["mail", "business"]


def test_the_timeline_widens_by_the_url(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    name = filled.finding_ids(filled.acme)[0]
    listed = filled.named("finding-timeline.children")
    sent = {"url.search": "?span=1h", "finding-id.data": name}
    shown = filled.call(person, listed, **sent).text
    assert "1 hour before and after" in shown
    assert "cmd alpha" in shown
    theirs = filled.finding_ids(filled.bolt)[0]
    other = filled.call(person, listed, **{**sent, "finding-id.data": theirs}).text
    assert "There is no such finding" in other


def test_reading_events_is_audited_and_an_auditor_sees_none(filled: House) -> None:
    name = filled.finding_ids(filled.acme)[0]
    auditor = filled.person(filled.acme, "aud", Role.AUDITOR)
    assert "cmd alpha" not in filled.open(auditor, f"/finding/{name}").partition("Evidence")[2]
    analyst = filled.person(filled.acme, "ana", Role.ANALYST)
    filled.open(analyst, f"/finding/{name}")
    with filled.database.app(filled.acme) as tx:
        seen = tx.execute("SELECT actor FROM audit_entries WHERE action = 'event.view'").fetchall()
    assert seen == [("user:ana",)]


def test_a_page_with_a_hundred_long_events_stays_light(house: House) -> None:
    ids = stored(house, [started(n, 10, f"p{n}.exe", "x" * 4000) for n in range(100, 300)])
    claim = some_findings("acme", ["many"], [ids[0]])[0]
    many = Finding(
        **{
            **{n: getattr(claim, n) for n in claim.__dataclass_fields__},
            "event_ids": tuple(ids[:100]),
            "entity": "WS-1",
        }
    )
    with house.database.writer() as tx:
        insert_findings(tx, [many])
    person = house.person(house.acme, "p", Role.ANALYST)
    assert len(house.open(person, f"/finding/{many.finding_id}")) < 300_000
    found = read.surroundings(house.database, house.acme, many.finding_id)
    assert len(found.evidence or []) == read.MOST_EVIDENCE


def test_evidence_weeks_apart_opens_no_file_that_lies_between(house: House) -> None:
    lake = house.console.lake
    ids = stored(
        house, [{"class_uid": 1007, "activity_id": 1, "device.hostname": f"h{n}"} for n in range(3)]
    )
    with house.database.app(house.acme) as tx:
        rows = tx.execute("SELECT path FROM lake_files").fetchall()
    assert len(rows) == 1
    # The same again, a file an event: the middle one is gone, and nobody may miss it.
    with house.database.writer() as tx:
        tx.execute("UPDATE lake_files SET replaced_by = 'x', replaced_at = now()")
    frame = pl.read_parquet(lake.root / rows[0][0]).sort("time")
    for n in range(3):
        one = EventBatch.of(frame[n : n + 1])
        files = lake.write(one, "events", 9, n, n)
        with house.database.writer() as tx:
            insert_lake_files(tx, files)
        if n == 1:
            (lake.root / files[0].path).unlink()
    at = START
    found = read.whole_events(house.database, lake, house.acme, [ids[0], ids[2]], at)
    assert sorted(found) == sorted([ids[0], ids[2]])


def test_what_the_history_adds_comes_after_the_page(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    name = filled.finding_ids(filled.acme)[0]
    first = filled.open(person, f"/finding/{name}")
    assert "Title alpha" in first
    assert "Looking into the history" in first
    later = filled.call(person, filled.named("finding-deep"), **{"finding-id.data": name}).text
    assert "15 minutes before and after" in later
    assert "device.hostname" in later
    theirs = filled.finding_ids(filled.bolt)[0]
    other = filled.call(person, filled.named("finding-deep"), **{"finding-id.data": theirs}).text
    assert "There is no such finding" in other


def test_a_read_that_hangs_is_waited_for_no_longer_than_said() -> None:
    gate = threading.Event()
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        within(0.05, gate.wait)
    gate.set()
    assert time.monotonic() - begun < 5
