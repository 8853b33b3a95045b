"""One commit leaves everything or nothing, once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database import Database
from storage.database.commit import (
    Fenced,
    add_window_counts,
    commit,
    copy_events,
    flow_position,
    flow_state,
    insert_findings,
    insert_lake_files,
    source_positions,
)
from storage.errors import InvalidInput, Unavailable
from storage.outcome import (
    DeadLetter,
    LakeFile,
    Mark,
    Outcome,
    PartitionStep,
    SourceProgress,
    dead_letter_of,
    finding_of,
    mark_of,
)
from storage.schema import Finding, Reason, finding_id
from storage.tenant import Scope
from tests.storage.made_events import batch_of

Tx = Connection[TupleRow]


def _all(tx: Tx, outcome: Outcome) -> None:
    for batch in outcome.batches:
        copy_events(tx, batch)
    insert_findings(tx, outcome.findings)
    if outcome.window_counts is not None:
        add_window_counts(tx, outcome.window_counts)
    insert_lake_files(tx, outcome.lake_files)


def _finding(tenant: str, group: str = "g") -> Finding:
    return Finding(
        finding_id=finding_id(tenant, "sigma", "1", "r", group),
        tenant_id=tenant,
        detector="sigma",
        detector_version="1",
        rule_id="r",
        title="A \x00 title",
        level="high",
        time_us=1_700_000_000_123_456,
        entity_type="host",
        entity="h" * 9000,
        event_ids=(finding_id(tenant, "e", "", "", ""),),
        reasons=(Reason("Image", "C:\\x.exe", "*\\x.exe", 0.5),),
        attack=("T1059",),
        links=(("user", "ann"),),
    )


_START = datetime(2024, 5, 1, tzinfo=UTC)
_COUNTS = pl.DataFrame(
    {
        "tenant_id": ["acme", "bolt", "acme"],
        "entity_type": ["host"] * 3,
        "entity": ["h1", "h1", "h1"],
        "class_uid": [1007] * 3,
        "window_start": [_START] * 3,
        "window_s": [600] * 3,
        "events": [2, 3, 5],
    },
    schema_overrides={"class_uid": pl.Int32, "window_s": pl.Int32},
)
_OUTCOME = Outcome(
    flow="main",
    steps=(PartitionStep("raw", 0, 0, 7, 11), PartitionStep("raw", 3, 0, 1, 12)),
    batches=(batch_of("acme", 300), batch_of("bolt", 200)),
    findings=(_finding("acme"), _finding("bolt")),
    window_counts=_COUNTS,
    state={("rarity", 5): b"\x00state"},
    lake_files=(
        LakeFile("acme", "tenant=acme/x.parquet", 1007, "2024-05-01", 3, 9, 1, 2, "raw", 0, 0, 6),
    ),
    sources=(
        SourceProgress("acme", "s1", "a.evtx", "evtx", 300, 300, 0),
        SourceProgress("acme", "s1", "a.evtx", "evtx", 310, 9, 1, "truncated \x00"),
    ),
    dead_letters=(
        DeadLetter(
            finding_id("acme", "", "", "", "l"), "acme", "s1", "a", "evtx", 305, "cut", b"\xff\x00"
        ),
    ),
)
_TABLES = ("events", "findings", "entity_packs", "sources", "lake_files", "outbox", "flow_offsets")


def _counted(db: Database) -> dict[str, int]:
    with db.owner() as tx:
        tx.execute("RESET ROLE")
        rows = {t: tx.execute(f"SELECT count(*) FROM {t}".encode()).fetchone() for t in _TABLES}
    return {table: int(row[0]) for table, row in rows.items() if row is not None}


def test_a_name_that_is_not_utf_8_is_no_obstacle(database: Database) -> None:
    name = "caf\udce9.json"
    told = SourceProgress("acme", "s1", name, "evtx", 1, 0, 1, f"{name}: cut")
    letter = DeadLetter(finding_id("a", "", "", "", ""), "acme", "s1", name, "evtx", 0, name, b"x")
    moved = PartitionStep("raw", 0, 0, 1, 0)
    commit(database, Outcome("main", (moved,), sources=(told,), dead_letters=(letter,)), [])
    assert (_counted(database)["sources"], _counted(database)["outbox"]) == (1, 1)


def test_a_repeat_of_old_records_does_not_move_a_source_back(database: Database) -> None:
    def step(expected: int, position: int) -> Outcome:
        moved = PartitionStep("raw", 0, expected, expected + 1, 0)
        told = SourceProgress("acme", "s1", "a.log", "syslog", position, 0, 0)
        return Outcome("main", (moved,), sources=(told,))

    commit(database, step(0, 300), [])
    commit(database, step(1, 100), [])
    assert source_positions(database) == {("acme", "s1"): 300}


def test_a_commit_leaves_everything(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    commit(database, _OUTCOME, [_all])
    assert flow_position(database, "main") == {("raw", 0): (7, 11), ("raw", 3): (1, 12)}
    assert flow_state(database, "main") == {("rarity", 5): b"\x00state"}
    assert source_positions(database) == {("acme", "s1"): 310}
    assert source_positions(database, [("bolt", "s1")]) == {}
    with database.app(two_tenants[0]) as tx:
        assert tx.execute("SELECT count(*), min(events) FROM events, sources").fetchone() == (
            300,
            309,
        )
        counted = tx.execute(
            "SELECT entity, sum(events)::bigint FROM window_counts WHERE window_s = 60 GROUP BY 1"
        )
        assert counted.fetchall() == [("h1", 7)]
        title = tx.execute("SELECT title, reasons->0->>'value' FROM findings").fetchone()
        assert title == ("A \ufffd title", "C:\\x.exe")


def test_the_outbox_tells_new_findings_and_dead_letters(database: Database) -> None:
    commit(database, _OUTCOME, [_all])
    again = replace(_OUTCOME, flow="replay", dead_letters=(), findings=(_finding("acme", "new"),))
    commit(database, again, [_all, _all])
    with database.writer() as tx:
        rows = tx.execute("SELECT topic, headers->>'id', value FROM outbox ORDER BY outbox_id")
        told = [(str(topic), str(name), bytes(value)) for topic, name, value in rows]
    letter, *found = [one for one in told if one[0] != "signals"]
    first, second, third = found
    assert dead_letter_of(letter[2]) == _OUTCOME.dead_letters[0]
    assert [t[0] for t in (letter, *found)] == ["dead-letter", *["findings"] * 3]
    assert [t[1] for t in told if t[0] == "signals"] == [t[1] for t in found]
    assert finding_of(first[2]) == replace(
        _finding("acme"), title="A \ufffd title", entity="h" * 512
    )
    assert {second[1], third[1]} == {
        _finding("bolt").finding_id,
        _finding("acme", "new").finding_id,
    }


def test_the_same_outcome_again_is_fenced_and_changes_nothing(database: Database) -> None:
    commit(database, _OUTCOME, [_all])
    before = _counted(database)
    with pytest.raises(Fenced):
        commit(database, _OUTCOME, [_all])
    behind = replace(_OUTCOME, steps=(PartitionStep("raw", 0, 6, 9, 0),))
    with pytest.raises(Fenced, match="no longer at 6"):
        commit(database, behind, [_all])
    assert _counted(database) == before


def test_a_sink_that_raises_leaves_nothing(database: Database) -> None:
    def broken(tx: Tx, outcome: Outcome) -> None:
        tx.execute("INSERT INTO outbox (tenant_id, topic, key, value) VALUES ('a', 't', 'k', '')")
        raise InvalidInput("no")

    with pytest.raises(InvalidInput, match="no"):
        commit(database, _OUTCOME, [_all, broken])
    assert set(_counted(database).values()) == {0}


def test_events_read_twice_by_another_flow_are_stored_once(database: Database) -> None:
    commit(database, _OUTCOME, [_all])
    wider = (batch_of("acme", 400), batch_of("acme", 400))
    steps = (PartitionStep("raw", 0, 0, 7, 11),)
    commit(database, Outcome("replay", steps, batches=wider), [_all])
    assert _counted(database)["events"] == 400 + 200


def test_hostile_text_is_stored_and_a_bad_id_names_itself(database: Database) -> None:
    frame = batch_of("acme", 3).frame.with_columns(
        pl.Series("message", ["a\x00b", '"\n\\.\n,', ""]),
        pl.Series("device.hostname", ["h" * 100_000, None, "\\N"]),
    )
    batch = replace(batch_of("acme", 3), frame=frame)
    commit(database, Outcome("f", (), batches=(batch,)), [_all])
    with database.owner() as tx:
        tx.execute("RESET ROLE")
        rows = tx.execute("SELECT message, left(hostname, 3) FROM events ORDER BY position")
        assert rows.fetchall() == [("a\ufffdb", "hhh"), ('"\n\\.\n,', None), ("", "\\N")]
    bad = replace(batch, frame=frame.with_columns(pl.lit("x").alias("event_id")))
    with pytest.raises(InvalidInput, match="uuid"):
        commit(database, Outcome("f", (), batches=(bad,)), [_all])


def test_a_mark_of_business_facts_stands_behind_the_claims_of_its_step(database: Database) -> None:
    told = (
        SourceProgress("acme", "business:erp", "", "ocsf_json", 5, 5, 0),
        SourceProgress("acme", "business:erp", "", "ocsf_json", 7, 2, 0),
        SourceProgress("acme", "dns", "", "zeek", 9, 9, 0),
    )
    commit(database, replace(_OUTCOME, sources=told), [_all])
    with database.writer() as tx:
        rows = tx.execute(
            "SELECT tenant_id, value FROM outbox WHERE topic = 'signals' ORDER BY outbox_id"
        )
        marks = [(tenant, mark_of(bytes(value))) for tenant, value in rows]
    assert marks == [("acme", None), ("bolt", None), ("acme", Mark("acme", "business:erp", 7))]


def test_what_is_screened_moves_forward_only(database: Database) -> None:
    def step(expected: int, *positions: int) -> Outcome:
        moved = PartitionStep("signals", 0, expected, expected + 1, 0)
        marks = tuple(Mark("acme", "business:erp", position) for position in positions)
        return Outcome("signals", (moved,), marks=marks)

    commit(database, step(0, 3, 9, 5), [])
    commit(database, step(1, 4), [])
    with database.writer() as tx:
        assert tx.execute("SELECT next_position FROM screened_sources").fetchall() == [(9,)]


def test_of_two_workers_of_the_same_partitions_one_is_fenced(database: Database) -> None:
    def work(steps: Sequence[PartitionStep]) -> str:
        try:
            commit(database, Outcome("f", tuple(steps)), [])
        except Unavailable as error:
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(2) as pool:
        for n in range(30):
            steps = [PartitionStep("raw", p, n, n + 1, n) for p in range(12)]
            ends = pool.map(work, (steps, steps[::-1]))
            assert sorted(ends) == ["Fenced", "done"]
    assert {at for at, _ in flow_position(database, "f").values()} == {30}


def test_a_step_with_one_partition_elsewhere_moves_none(database: Database) -> None:
    begun = tuple(PartitionStep("raw", p, 0, 5, 1) for p in range(3))
    commit(database, Outcome("f", begun), [])
    wrong = (
        *(PartitionStep("raw", p, 5, 9, 2) for p in range(2)),
        PartitionStep("raw", 2, 4, 9, 2),
    )
    new = PartitionStep("raw", 3, 0, 1, 2)
    with pytest.raises(Fenced, match="raw/2 is no longer at 4"):
        commit(database, Outcome("f", (*wrong, new)), [])
    assert flow_position(database, "f") == {("raw", p): (5, 1) for p in range(3)}
