"""Hold the spool to its promises: in order, the same batch again, bounded with counted drops."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import Batch, Spool
from tests.shared import ROOT


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
        spool.append("events", "ocsf_json", [b"x" * 100] * 100)
    (queue,) = spool.queue()
    assert queue["dropped"] == 3000 - int(str(queue["waiting"]))
    assert int(str(queue["waiting"])) <= 1000
    batch = spool.next_batch()
    assert batch is not None
    assert batch.first == queue["dropped"]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 5), max_size=30), most=st.integers(1, 7))
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


CHILD = """
import sys
import tempfile
from pathlib import Path
from agent.spool import Spool
spool = Spool(Path(sys.argv[1]))
n = 0
while True:
    spool.append("s", "f", [b"%d" % (n + i) for i in range(5)], {"n": n + 5})
    n += 5
    print(n, flush=True)
"""


def test_kill_9_loses_no_row_that_was_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(20)][-1]
    child.send_signal(signal.SIGKILL)
    told = max([told, *(int(x) for x in child.stdout.read().split("\n")[:-1])])
    child.stdout.close()
    child.wait()
    spool = Spool(path)
    batch = spool.next_batch(most=10**6)
    assert batch is not None
    assert [int(r) for r in batch.rows] == list(range(len(batch.rows)))
    assert len(batch.rows) >= told
    assert spool.note("n", 0) == len(batch.rows)


def test_what_another_connection_has_sent_makes_room(tmp_path: Path) -> None:
    looks = Spool(tmp_path / "s.sqlite", max_bytes=1000)
    ships = Spool(tmp_path / "s.sqlite")
    for _ in range(10):
        looks.append("events", "ocsf_json", [b"x" * 300])
        batch = ships.next_batch()
        assert batch is not None
        ships.done(batch)
    assert [row["dropped"] for row in looks.queue()] == [0]
