"""Hold the spool to its promises: in order, the same batch again, bounded with counted drops."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import HIGH, LIVE_MOST, LOW, NORMAL, Batch, Loss, Spool


def _rows(*numbers: int) -> list[bytes]:
    return [f"row {n}".encode() for n in numbers]


def test_rows_leave_in_the_order_they_came(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("events", "ocsf_json", _rows(0, 1, 2))
    assert spool.next_batch() == Batch("events", "ocsf_json", 0, _rows(0, 1, 2))


def test_a_batch_without_an_answer_is_sent_again_unchanged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("events", "ocsf_json", _rows(0, 1))
    first = spool.next_batch()
    spool.append("events", "ocsf_json", _rows(2, 3))
    spool.close()
    assert Spool(tmp_path / "s.sqlite").next_batch() == first


def test_an_answered_batch_is_forgotten_and_the_next_follows_on(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("events", "ocsf_json", _rows(0, 1))
    batch = spool.next_batch()
    assert batch is not None
    spool.done(batch)
    spool.append("events", "ocsf_json", _rows(2))
    assert spool.next_batch() == Batch("events", "ocsf_json", 2, _rows(2))


def test_over_its_bound_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", max_bytes=100_000)
    for _ in range(30):
        spool.append("events", "ocsf_json", [os.urandom(50).hex().encode() for _ in range(100)])
    (queue,) = spool.queue()
    assert queue["dropped"] == 3000 - int(str(queue["waiting"]))
    assert int(str(queue["waiting"])) <= 2000
    batch = spool.next_batch()
    assert batch is not None
    assert batch.first == queue["dropped"]


@settings(deadline=None, max_examples=20)
@given(sizes=st.lists(st.integers(0, 5), max_size=15), most=st.integers(1, 7))
def test_nothing_is_lost_or_doubled_however_it_is_batched(sizes: list[int], most: int) -> None:
    folder = tempfile.TemporaryDirectory()
    spool = Spool(Path(folder.name, "s.sqlite"))
    total, got = 0, []
    for size in sizes:
        spool.append("s", "f", _rows(*range(total, total + size)))
        total += size
        batch = spool.next_batch(most=most)
        if batch is not None:
            got += batch.rows
            spool.done(batch)
    while (batch := spool.next_batch(most=most)) is not None:
        got += batch.rows
        spool.done(batch)
    spool.close()
    folder.cleanup()
    assert got == _rows(*range(total))


def test_low_value_goes_first_and_the_loss_is_told_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", max_bytes=10_500)
    spool.append("events", "f", [os.urandom(4000).hex().encode()], value=NORMAL)
    for n in range(3):
        spool.append("low", "f", [b"%d" % n + os.urandom(2000).hex().encode()], value=LOW)
    spool.append("high", "f", [os.urandom(4000).hex().encode()], value=HIGH)
    assert spool.losses() == [Loss("low", 0, 3, "spool full")]
    assert spool.losses() == []
    assert {q["stream"]: q["waiting"] for q in spool.queue()} == {"events": 1, "high": 1, "low": 0}


def test_what_was_asked_for_stays_when_the_spool_is_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", max_bytes=10_000)
    spool.append("events", "f", _rows(0, 1))
    asked = spool.next_batch()
    for _ in range(4):
        spool.append("events", "f", [os.urandom(4000).hex().encode()])
    assert spool.next_batch() == asked
    assert [q["dropped"] for q in spool.queue()] == [2]


def test_after_an_absence_new_rows_do_not_wait_for_the_old(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    total = LIVE_MOST + 5000
    spool.append("events", "f", _rows(*range(total)))
    batch = spool.next_batch()
    assert batch is not None
    spool.done(batch)
    spool.append("events", "f", [b"new"])
    order = []
    while (batch := spool.next_batch()) is not None:
        order.append((batch.stream, batch.first, len(batch.rows)))
        spool.done(batch)
    assert order[0] == ("events@2", 0, 1)
    assert [o[1] for o in order[1:]] == list(range(2000, total, 2000))


def test_the_lane_that_is_empty_takes_the_next_absence(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    seen: dict[str, list[int]] = {}
    for turn in range(4):
        spool.append("events", "f", _rows(*range(turn * 8000, turn * 8000 + 8000)))
        while (batch := spool.next_batch()) is not None:
            seen.setdefault(batch.stream, []).extend(int(r.split()[1]) for r in batch.rows)
            spool.done(batch)
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert sorted(n for numbers in seen.values() for n in numbers) == list(range(32000))
    assert set(seen) == {"events", "events@2"}


def test_rows_of_one_commit_are_kept_or_lost_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    with pytest.raises(TypeError):
        spool.append("events", "f", _rows(0), {"place": 1, "wrong": object()})
    assert spool.next_batch() is None
    assert spool.note("place", 0) == 0
    assert spool.held_bytes() == 0


def test_a_line_break_within_a_row_does_not_shift_the_numbers(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("events", "f", [b"a\nb", b"c"])
    assert spool.next_batch() == Batch("events", "f", 0, [b"a b", b"c"])


OLD = """
CREATE TABLE rows (stream TEXT, seq INTEGER, value BLOB, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE streams (stream TEXT PRIMARY KEY, format TEXT, next_seq INTEGER, sent_to INTEGER,
    asked_to INTEGER, dropped INTEGER);
INSERT INTO streams VALUES ('events', 'f', 9, 7, NULL, 1);
INSERT INTO rows VALUES ('events', 7, x'67'), ('events', 8, x'68');
"""


def test_a_file_from_before_goes_on_with_its_numbers(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as old:
        old.executescript(OLD)
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("events", "f", [b"i"])
    assert spool.next_batch() == Batch("events", "f", 7, [b"g", b"h", b"i"])


def test_what_another_connection_has_sent_makes_room(tmp_path: Path) -> None:
    looks = Spool(tmp_path / "s.sqlite", max_bytes=1000)
    ships = Spool(tmp_path / "s.sqlite")
    for _ in range(10):
        looks.append("events", "ocsf_json", [os.urandom(150).hex().encode()])
        batch = ships.next_batch()
        assert batch is not None
        ships.done(batch)
    assert [row["dropped"] for row in looks.queue()] == [0]


def test_a_flood_of_one_stream_does_not_push_out_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", max_bytes=200_000)
    for _ in range(3):
        spool.append("events", "f", [os.urandom(4000).hex().encode()], value=NORMAL)
        spool.append("events.high", "f", [os.urandom(4000).hex().encode()], value=HIGH)
    for _ in range(100):
        spool.append("events.files", "f", [os.urandom(4000).hex().encode()], value=HIGH)
    waiting = {str(q["stream"]): int(str(q["waiting"])) for q in spool.queue()}
    assert (waiting["events"], waiting["events.high"]) == (3, 3)
    assert waiting["events.files"] > 10
    assert [loss.stream for loss in spool.losses()] == ["events.files"]
