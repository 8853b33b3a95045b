"""Hold the spool to this: a damaged block costs itself, a damaged file begins a new one, told."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.commands import queue, status
from agent.deliver import ship_all
from agent.doctor import _queue
from agent.given import Given, spool_of
from agent.run import agent_id
from agent.settings import Settings
from agent.spool import Batch, Loss, Spool
from agent.spool_file import Damaged, inode_of, rows_of
from agent.spool_mend import mend

PAGE = 4096


class _Taking:
    """A server that takes all."""

    skew_s = None

    def __init__(self) -> None:
        self.got: list[Batch] = []

    def send(self, batch: Batch) -> None:
        self.got.append(batch)


def _break_block(path: Path, lane: str, first: int, data: bytes = b"x\x9cbroken") -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE blocks SET data = ? WHERE lane = ? AND first = ?", (data, lane, first))
        db.commit()


def _filled(path: Path) -> None:
    """A file whose rows and notes are on many pages, none of them in the write-ahead log."""
    spool = Spool(path)
    spool.set_note("log:/a", {"offset": 7})
    agent_id(spool)
    for _ in range(20):
        spool.append("events", "ocsf_json", [os.urandom(3000).hex().encode() for _ in range(5)])
    spool.close()


def _overwrite(path: Path, first: int, end: int) -> None:
    with path.open("r+b") as file:
        file.seek(first * PAGE)
        file.write(b"\xa5" * (end - first) * PAGE)


def test_a_damaged_block_costs_its_own_rows_and_stops_no_lane(tmp_path: Path) -> None:
    spool, house = Spool(tmp_path / "spool.sqlite"), _Taking()
    for lane in "abc":
        for start in range(0, 60, 20):
            spool.append(lane, "f", [f"row {n}".encode() * 9 for n in range(start, start + 20)])
    _break_block(spool.path, "a", 20)
    assert ship_all(spool, house) == 160
    assert spool.losses() == [Loss("a", 20, 20, "damaged")]
    got = {(b.stream, b.first + n) for b in house.got for n in range(len(b.rows))}
    assert got == {(lane, n) for lane in "abc" for n in range(60)} - {
        ("a", n) for n in range(20, 40)
    }
    assert [row["waiting"] for row in spool.queue()] == [0, 0, 0]


@pytest.mark.parametrize("data", [b"x\x9cbroken", b"one row", b""])
def test_a_batch_that_was_asked_for_and_is_damaged_meanwhile_is_given_up(
    tmp_path: Path, data: bytes
) -> None:
    spool, house = Spool(tmp_path / "spool.sqlite"), _Taking()
    spool.append("a", "f", [f"row {n}".encode() * 99 for n in range(20)])
    spool.append("a", "f", [b"later", b"last"])
    assert spool.next_batch(most=10) is not None
    _break_block(spool.path, "a", 0, data)
    assert ship_all(spool, house) == 2
    assert house.got == [Batch("a", "f", 20, [b"later", b"last"])]


def test_numbers_that_do_not_fit_hold_nothing_up(tmp_path: Path) -> None:
    spool, house = Spool(tmp_path / "spool.sqlite"), _Taking()
    spool.append("a", "f", [b"one", b"two"])
    spool.append("b", "f", [b"three"])
    with contextlib.closing(sqlite3.connect(spool.path)) as db:
        db.execute("UPDATE lanes SET asked_to = 0, sent_to = 1, next_seq = 9 WHERE lane = 'a'")
        db.commit()
    assert ship_all(spool, house) == 2


@pytest.mark.parametrize("pages", [(0, 2), (0, 1), (1, 4), (4, 7)])
def test_a_damaged_file_is_set_aside_and_a_new_one_tells_it(
    tmp_path: Path, pages: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spool.sqlite"
    _filled(path)
    _overwrite(path, *pages)
    with contextlib.closing(spool_of(Given(tmp_path), Settings())) as spool:
        batch = spool.next_batch()
    assert batch is not None
    told = json.loads(batch.rows[0])
    assert told["metadata"]["event_code"] == "spool_damaged"
    assert (tmp_path / "spool.sqlite.damaged").stat().st_size > 10 * PAGE
    assert "is damaged" not in capsys.readouterr().out


def test_notes_that_can_be_read_go_on_but_not_the_name_that_rows_are_numbered_by(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spool.sqlite"
    _filled(path)
    before = Spool(path)
    known = agent_id(before)
    with contextlib.closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'lanes'").fetchone()
    before.close()
    _overwrite(path, root - 1, root)
    with contextlib.closing(spool_of(Given(tmp_path), Settings())) as spool:
        assert spool.note("log:/a", {}) == {"offset": 7}
        assert agent_id(spool) != known


@pytest.mark.parametrize("act", [status, queue])
def test_what_looks_at_a_damaged_spool_names_it(tmp_path: Path, act: Callable[[Any], int]) -> None:
    _filled(tmp_path / "spool.sqlite")
    _overwrite(tmp_path / "spool.sqlite", 0, 3)
    with pytest.raises(Damaged, match="restart it"):
        act(Given(tmp_path))


def test_doctor_names_a_damaged_spool(tmp_path: Path) -> None:
    _filled(tmp_path / "spool.sqlite")
    _overwrite(tmp_path / "spool.sqlite", 1, 7)
    found = next(iter(_queue(tmp_path)))
    assert not found.is_ok
    assert "damaged" in str(found)


def test_an_agent_whose_spool_is_damaged_as_it_runs_begins_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    config = tmp_path / "agent.toml"
    config.write_text('off = ["packages", "services", "users", "checks"]\n', encoding="utf-8")
    words = ["-P", "-m", "agent", "--data", str(folder), "--config", str(config)]
    words += ["run", "--only", "look"]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE) as running:
        try:
            _until((folder / "spool.sqlite").exists)
            _until(lambda: bool(Spool(folder / "spool.sqlite").queue()))
            inode = (folder / "spool.sqlite").stat().st_ino
            _put_on_disk(folder / "spool.sqlite")
            _overwrite(folder / "spool.sqlite", 0, 12)
            _until((folder / "spool.sqlite.damaged").exists, 60)
            _until(lambda: _begun_anew(folder), 60)
            running.terminate()
            running.wait(60)
        finally:
            running.kill()
    assert running.returncode == 0
    assert (folder / "spool.sqlite").stat().st_ino != inode


def test_an_agent_that_is_told_to_end_as_it_begins_anew_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    words = [sys.executable, "-P", "-m", "agent", "--data", str(folder), "run", "--only", "look"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as running:
        try:
            _until((folder / "spool.sqlite").exists)
            _until(lambda: bool(Spool(folder / "spool.sqlite").queue()))
            _put_on_disk(folder / "spool.sqlite")
            _overwrite(folder / "spool.sqlite", 0, 12)
            _until((folder / "spool.sqlite.damaged").exists, 60)
            running.terminate()  # it still waits a while before the next process
            assert running.wait(60) == 0
        finally:
            running.kill()


def _put_on_disk(path: Path) -> None:
    """Empty the write-ahead log, and have the agent forget the pages that it holds."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO notes VALUES ('another', '1')")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _begun_anew(folder: Path) -> bool:
    with contextlib.closing(sqlite3.connect(folder / "spool.sqlite")) as db:
        found = db.execute("SELECT data, is_packed, count FROM blocks").fetchall()
    text = b"".join(row for block in found for row in rows_of(*block)[0])
    return b"spool_damaged" in text and b"agent_begun_anew" in text


def _until(is_so: Callable[[], bool], wait_s: float = 10) -> None:
    end_s = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.1)


def test_a_half_that_holds_a_file_that_was_set_aside_takes_the_new_one(tmp_path: Path) -> None:
    path, heard = tmp_path / "spool.sqlite", list[Damaged]()
    _filled(path)
    with contextlib.closing(Spool(path)) as other:
        other.on_damage = heard.append
        other.append("events", "f", [b"kept"])
        assert heard == []
        wrong = Damaged(path, inode_of(path), "malformed")
        assert mend(wrong)
        assert not mend(wrong)  # who comes later finds it done
        other.append("events", "f", [b"too late"])
    assert [one.why for one in heard] == ["another file is in its place"]
    assert sorted(p.name for p in tmp_path.glob("*.damaged")) == ["spool.sqlite.damaged"]


def test_a_note_that_is_no_json_counts_as_none(tmp_path: Path) -> None:
    with contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool:
        spool.set_note("log:/a", {"offset": 7})
        with contextlib.closing(sqlite3.connect(spool.path)) as db:
            db.execute("UPDATE notes SET value = '{\"off'")
            db.commit()
        assert spool.note("log:/a", {}) == {}
