"""Change watched files as somebody who wants it unseen or dear: open handles, floods, odd names."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.collect import Event
from agent.collect.linux import file_integrity
from agent.collect.linux._settling import LATEST_S, RESTS, SETTLE_S, Settling
from agent.collect.linux._touched import (
    CHANGED,
    CREATED,
    OVERFLOW,
    WRITTEN,
    Ear,
    Fanotify,
    Inotify,
    Touched,
)
from agent.collect.linux.file_integrity import Guard
from tests.agent.test_collect import _of, code, watched
from tests.agent.test_hostile_host import Deaf

MANY = 17_000
"""More than the kernel queues: 16,384."""
EARS: list[Callable[[], Ear]] = [Fanotify, Inotify]
if os.geteuid() != 0:
    EARS = [Inotify]


@pytest.mark.parametrize("by", [ear.name for ear in (Fanotify, Inotify)])
def test_a_change_through_a_handle_that_stays_open_is_told(tmp_path: Path, by: str) -> None:
    if by == "fanotify" and os.geteuid() != 0:
        pytest.skip("fanotify is for root")
    file = tmp_path / "a"
    file.write_text("one")
    with watched(file_integrity, {"paths": [str(tmp_path)], "by": [by]}) as at_work:
        at_work.until(code("source_opened"))
        with file.open("a") as handle:
            handle.write("two")
            handle.flush()
            changed = at_work.until(_of(file), 6)
    assert changed["activity_id"] == 3
    assert changed["file"]["size"] == 6


def test_a_file_written_without_end_is_looked_at_now_and_then() -> None:
    settling, seen = Settling(), list[float]()
    for tenth in range(1000):
        now_s = tenth / 10
        assert settling.put("a", WRITTEN, None, now_s, is_open=True)
        seen += [now_s for _ in settling.ready(now_s)]
    assert 100 / LATEST_S - 2 < len(seen) <= 100 / LATEST_S
    assert not settling.ready(100.0)
    assert [path for path, _, _ in settling.ready(100 + SETTLE_S)] == ["a"]


def test_a_dear_file_rests_however_often_it_is_closed() -> None:
    settling, looks = Settling(), 0
    for tenth in range(1000):
        now_s = tenth / 10
        at_once = not settling.put("a", CHANGED, None, now_s, is_open=False)
        if at_once or settling.ready(now_s):
            looks += 1
            settling.looked("a", 0.2, now_s)
    assert looks <= 100 / (0.2 * RESTS) + 1
    assert settling.put("b", CHANGED, None, 100.0, is_open=False) is False, "others do not wait"


@pytest.mark.parametrize("make", EARS)
def test_after_a_flood_all_is_compared(tmp_path: Path, make: Callable[[], Ear]) -> None:
    ear = make()
    try:
        guard = Guard(ear, {}, is_known=True)
        assert guard.begin([str(tmp_path)]) == []
        for n in range(MANY):
            (tmp_path / f"{n}").write_text("x")
        touched: list[Touched] = []
        while more := ear.read(0):
            touched += more
        assert any(t.mask & OVERFLOW for t in touched)
        events = guard.touched([t for t in touched if t.mask & OVERFLOW], {})
        assert [e["metadata"]["event_code"] for e in events] == ["kernel_overrun"]
        assert len({e["file"]["path"] for e in guard.settled()}) == MANY
        again = guard.touched([Touched("", OVERFLOW, 0)], {}) + guard.settled()
        assert [e["class_uid"] for e in again] == [0]
        assert guard._is_overrun, "the next comparison waits for its turn"
    finally:
        ear.close()


@pytest.mark.parametrize("make", EARS)
def test_folders_that_come_and_go_leave_nothing(tmp_path: Path, make: Callable[[], Ear]) -> None:
    ear = make()
    assert isinstance(ear, Fanotify | Inotify)
    try:
        guard = Guard(ear, {}, is_known=True)
        guard.begin([str(tmp_path)])
        for n in range(20):
            (tmp_path / f"{n}" / "below").mkdir(parents=True)
            guard.touched(ear.read(1.0), {})
            (tmp_path / f"{n}" / "below").rmdir()
            (tmp_path / f"{n}").rmdir()
            guard.touched(ear.read(1.0), {})
        assert len(ear._folders) == 1
    finally:
        ear.close()


def test_a_moved_folder_is_known_by_its_new_name(tmp_path: Path) -> None:
    ear = Inotify()
    try:
        guard = Guard(ear, {}, is_known=True)
        guard.begin([str(tmp_path)])
        (tmp_path / "old").mkdir()
        guard.touched(ear.read(1.0), {})
        (tmp_path / "old").rename(tmp_path / "new")
        guard.touched(ear.read(1.0), {})
        (tmp_path / "new" / "a").write_text("x")
        told = guard.touched(ear.read(1.0), {})
        assert [e["file"]["path"] for e in told] == [str(tmp_path / "new" / "a")]
    finally:
        ear.close()


def test_a_name_that_is_no_text_is_told_as_processes_tell_it(tmp_path: Path) -> None:
    guard = Guard(Deaf(), {}, is_known=True)
    guard.begin([str(tmp_path)])
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9")  # noqa: PTH118  bytes as they are
    with open(odd, "wb"):  # noqa: PTH123  bytes as they are
        pass
    (told,) = guard.touched([Touched(os.fsdecode(odd), CHANGED, 0)], {})
    assert told["file"] | {"size": 0} == told["file"]
    assert (told["file"]["path"], told["file"]["name"]) == (f"{tmp_path}/caf\\xe9", "caf\\xe9")


def test_what_is_over_the_bound_is_not_called_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_integrity, "MOST_FILES", 3)
    for n in range(9):
        (tmp_path / f"{n}").touch()
    guard = Guard(Deaf(), {}, is_known=False)
    guard.begin([str(tmp_path)])
    over, other = [p for p in map(str, tmp_path.iterdir()) if p not in guard.files][:2]
    assert _kinds(guard.touched([Touched(over, CHANGED, 0)], {})) == [3]
    assert _kinds(guard.touched([Touched(other, CREATED | CHANGED, 0)], {})) == [1]


def _kinds(events: list[Event]) -> list[int]:
    return [e["activity_id"] for e in events]


def test_a_large_file_written_ten_times_a_second_costs_little(tmp_path: Path) -> None:
    file, stop = tmp_path / "large", threading.Event()
    file.write_bytes(bytes(30 << 20))
    guard = Guard(Deaf(), {}, is_known=True)
    guard.begin([str(tmp_path)])
    began_s, used_s = time.monotonic(), time.thread_time()
    while time.monotonic() - began_s < 3:
        os.utime(file)
        guard.touched([Touched(str(file), CHANGED, 0)], {})
        guard.settled()
        stop.wait(0.1)
    file.unlink()
    gone = guard.touched([Touched(str(file), 0x200, 0)], {})
    assert _kinds(gone) == [4], "its end does not wait"
    share = (time.thread_time() - used_s) / (time.monotonic() - began_s)
    assert share < 0.15
