import itertools
import random
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import Unavailable
from storage.log import EventLog, Record
from storage.log.sqlite import SqliteLog
from tests.shared import ROOT
from tests.storage.log_contract import Clock, SetClockContract, values


class TestSqliteLog(SetClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def make_log(self, clock: Clock, tmp_path: Path) -> Callable[[], EventLog]:
        number = itertools.count()
        return lambda: SqliteLog(tmp_path / f"{next(number)}.sqlite", 4, now_us=clock)

    @pytest.fixture
    def log(self, make_log: Callable[[], EventLog]) -> Iterator[EventLog]:
        log = make_log()
        yield log
        log.close()


def appender(path: Path, name: str, calls: int, size: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.storage.log_appender", path, name, calls, size]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def everything(path: Path) -> list[str]:
    with closing(SqliteLog(path, partitions=4)) as log:
        return [v.decode() for p in range(4) for v in values(log, "t", p)]


def test_what_was_appended_is_there_after_opening_anew(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", partitions=4)) as log:
        log.append("t", [Record(b"a", b"1")])
        log.commit("g", "t", 3, 1)
    with closing(SqliteLog(tmp_path / "log.sqlite", partitions=16)) as log:
        assert (values(log, "t", 3), log.committed("g", "t", 3)) == ([b"1"], 1)
        assert (log.partitions("t"), log.partitions("new")) == (4, 16)


def test_four_processes_append_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    running = [appender(path, f"p{n}", calls=100, size=4) for n in range(4)]
    acknowledged = [
        line for process in running for line in process.communicate(timeout=60)[0].split()
    ]
    assert [process.returncode for process in running] == [0] * 4
    assert sorted(everything(path)) == sorted(acknowledged)
    assert len(acknowledged) == 1600


def test_acknowledged_records_survive_kill_9_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    moments = random.Random(7)
    acknowledged: list[str] = []
    for life in range(5):
        process = appender(path, f"life{life}", calls=1_000_000, size=3)
        assert process.stdout is not None
        acknowledged += itertools.islice(process.stdout, moments.randint(1, 400))
        process.kill()
        acknowledged += process.stdout.read().splitlines(keepends=True)
        assert process.wait() == -9
        process.stdout.close()
    whole = [line.strip() for line in acknowledged if line.endswith("\n")]
    kept = everything(path)
    assert len(kept) == len(set(kept))
    assert set(whole) <= set(kept)


def test_threads_share_a_commit_and_each_gets_its_own_places(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", partitions=4)) as log:
        places: dict[str, tuple[int, int]] = {}

        def work(name: str) -> None:
            for n in range(20):
                text = f"{name}-{n}"
                ((places[text]),) = log.append("t", [Record(text.encode(), text.encode())])

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = {
            value.decode(): (p, offset)
            for p in range(4)
            for offset, value in enumerate(values(log, "t", p))
        }
        assert stored == places


def test_a_full_disk_is_unavailable_and_appends_go_on_when_there_is_room(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", partitions=4)) as log:
        log.append("t", [Record(b"a", b"1")])
        log._writer.execute("PRAGMA max_page_count = 20")
        with pytest.raises(Unavailable, match=r"log\.sqlite: the disk is full; free some space"):
            log.append("t", [Record(b"a", bytes(200_000))])
        log._writer.execute("PRAGMA max_page_count = 1000000")
        assert log.append("t", [Record(b"a", b"2")]) == [(3, 1)]
        assert values(log, "t", 3) == [b"1", b"2"]


def test_a_write_that_the_system_refuses_is_unavailable(tmp_path: Path) -> None:
    script = (
        "import signal, resource, sys; from pathlib import Path\n"
        "from storage.log.sqlite import SqliteLog; from storage.log import Record\n"
        "from storage.errors import Unavailable\n"
        "log = SqliteLog(Path(sys.argv[1])); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try: log.append('t', [Record(b'a', bytes(1_000_000))])\n"
        "except Unavailable as error: print(error)\n"
    )
    path = tmp_path / "log.sqlite"
    shown = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "log.sqlite: " in shown.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300_000
    assert everything(path) == []


def test_a_log_held_by_another_process_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with (
        closing(SqliteLog(path, busy_s=0.05)) as log,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process holds it too long"):
            log.append("t", [Record(b"a", b"1")])
        other.execute("ROLLBACK")
        assert len(log.append("t", [Record(b"a", b"1")])) == 1


def test_a_file_that_is_no_log_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(Unavailable, match="is no event log; set it aside"):
        SqliteLog(tmp_path / "log.sqlite")


def test_a_log_of_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(Unavailable, match="layout 99, this version knows 1; use the newer version"):
        SqliteLog(tmp_path / "log.sqlite")


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="Not a directory"):
        SqliteLog(tmp_path / "file" / "sub" / "log.sqlite")


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        log.append("t", [Record(b"a", b"1")])
        modes = {stat.S_IMODE(place.stat().st_mode) for place in tmp_path.iterdir()}
    assert modes == {0o600}


def test_the_disk_is_asked_to_sync_at_every_commit(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        assert log._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert log._writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_sign_of_life_that_changes_nothing_costs_no_write(tmp_path: Path) -> None:
    clock = Clock()
    with closing(SqliteLog(tmp_path / "log.sqlite", now_us=clock)) as log:
        log.join("g", "t", "a")
        written = log._writer.total_changes
        clock.pass_s(1)
        assert log.join("g", "t", "a") == list(range(8))
        assert log._writer.total_changes == written
        clock.pass_s(4)
        log.join("g", "t", "a")
        assert log._writer.total_changes > written


def test_a_large_topic_is_trimmed_in_steps_that_add_up(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite", partitions=1)) as log:
        log.append("t", [Record(b"", b"%d" % n) for n in range(12_001)])
        log.append("u", [Record(b"", b"other")])
        assert log.trim("t", 0, 12_000) == 12_000
        assert [m.value for m in log.read("t", 0, 0)] == [b"12000"]
        assert len(log.read("u", 0, 0)) == 1
