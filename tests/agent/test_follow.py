"""See a log file followed through growth, half lines, truncation and rotation."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from agent.follow import LONGEST_LINE, follow


def test_only_whole_lines_are_taken_and_none_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    first, place = follow(path, {})
    path.write_bytes(b"one\ntwo\n")
    second, _ = follow(path, place)
    assert (first, second) == ([b"one"], [b"two"])


def test_a_truncated_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntwo\n")
    _, place = follow(path, {})
    path.write_bytes(b"new\n")
    assert follow(path, place)[0] == [b"new"]


def test_a_rotated_file_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    _, place = follow(path, {})
    path.rename(tmp_path / "a.log.1")
    path.write_bytes(b"another, longer\n")
    assert follow(path, place)[0] == [b"another, longer"]


def test_what_was_written_before_a_rotation_is_read_first(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"1\n")
    _, place = follow(path, {})
    with path.open("ab") as log:
        log.write(b"2\n")
    path.rename(tmp_path / "a.log.1")
    (tmp_path / "b.log").write_bytes(b"stray\n")
    assert follow(path, place)[0] == [b"2"], "also while the new one is not there yet"
    path.write_bytes(b"3\n")
    second, place = follow(path, place)
    third, place = follow(path, place)
    assert (second, third, follow(path, place)[0]) == ([b"2"], [b"3"], [])


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {}
    assert follow(tmp_path / "none.log", nothing) == ([], nothing)


def test_an_endless_line_cannot_stop_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x" * (LONGEST_LINE + 100) + b"\nnext\n")
    lines, place = follow(path, {})
    while not lines or lines[-1] != b"next":
        more, place = follow(path, place)
        assert more
        lines += more
    assert max(map(len, lines)) <= LONGEST_LINE


def _copied_and_emptied(path: Path) -> None:
    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)


@pytest.mark.parametrize("after", [b"3\n", b"3, and much longer than it was\n", b""])
def test_what_was_copied_and_emptied_is_read_to_its_end(tmp_path: Path, after: bytes) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"1\n")
    lines, place = follow(path, {})
    with path.open("ab") as log:
        log.write(b"2\n")
    _copied_and_emptied(path)
    with path.open("ab") as log:
        log.write(after)
    for _ in range(3):
        more, place = follow(path, place)
        lines += more
    assert lines == [b"1", b"2", *after.splitlines()]


def test_emptied_and_grown_past_the_place_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    _, place = follow(path, {})
    os.truncate(path, 0)
    path.write_bytes(b"another, longer\n")
    assert follow(path, place)[0] == [b"another, longer"]


def test_a_copy_that_is_of_another_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\n")
    _, place = follow(path, {})
    (tmp_path / "a.log.1").write_bytes(b"two\nmore\n")
    path.write_bytes(b"")
    assert follow(path, place)[0] == []


class _Log:
    """A log that a program writes and logrotate rotates."""

    def __init__(self, folder: Path) -> None:
        self.path, self._place = folder / "app.log", dict[str, Any]()
        self.lost: list[str] = []
        self._moment_s = 1_700_000_000

    def write(self, text: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(text)
        self._moment_s += 10
        os.utime(self.path, (self._moment_s, self._moment_s))

    def rotate(self, packs: bool = False) -> None:
        """Move each one on, as `app.log.1` to `.2`; the first may be packed."""
        for n in range(8, 0, -1):
            for end in ("", ".gz"):
                old = self.path.with_name(f"app.log.{n}{end}")
                if old.exists():
                    old.rename(self.path.with_name(f"app.log.{n + 1}{end}"))
        first = self.path.rename(self.path.with_name("app.log.1"))
        if packs:
            packed = self.path.with_name("app.log.1.gz")
            packed.write_bytes(gzip.compress(first.read_bytes()))
            os.utime(packed, (self._moment_s, self._moment_s))
            first.unlink()

    def read(self) -> list[bytes]:
        """Read all that there is, look by look."""
        lines = list[bytes]()
        for _ in range(30):
            more, self._place = follow(self.path, self._place, self.lost.append)
            lines += more
        return lines


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_rotations_while_nobody_reads_lose_nothing(tmp_path: Path, times: int, packs: bool) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    assert log.read() == [b"1"]
    log.write(b"2\n")
    for n in range(times):
        log.rotate(packs)
        log.write(b"%d\n" % (n + 3))
    assert log.read() == [b"%d" % (n + 2) for n in range(times + 1)]
    assert log.lost == []
    log.write(b"end\n")
    assert log.read() == [b"end"]


def test_what_was_rotated_before_the_first_look_is_not_read(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    log.write(b"old\n")
    log.rotate()
    log.write(b"new\n")
    assert log.read() == [b"new"]


def test_another_log_beside_it_is_not_taken_for_a_rotated_one(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    assert log.read() == [b"1"]
    log.rotate()
    for name in ("app.log.bak", "app2.log.1", "application.log", "app.txt", "app.err.1"):
        (tmp_path / name).write_bytes(b"stray\n")
    log.write(b"2\n")
    assert log.read() == [b"2"]


@pytest.mark.parametrize("name", ["app.log-20231115", "app-20231115.log", "app.log-20231115.gz"])
def test_a_rotated_file_may_carry_its_day(tmp_path: Path, name: str) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    assert log.read() == [b"1"]
    log.write(b"2\n")
    was = log.path.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(was) if name.endswith(".gz") else was)
    log.path.unlink()
    log.write(b"3\n")
    assert log.read() == [b"2", b"3"]


def test_a_last_line_without_an_end_is_read_when_the_next_file_begins(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    assert log.read() == [b"1"]
    log.write(b"no end")
    log.rotate()
    assert log.read() == [], "it may still be written"
    log.write(b"3\n")
    assert log.read() == [b"no end", b"3"]


@pytest.mark.parametrize("is_moved", [True, False])
def test_what_cannot_be_read_any_more_is_told_once(tmp_path: Path, is_moved: bool) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    assert log.read() == [b"1"]
    log.write(b"lost\n")
    if is_moved:
        log.path.rename(tmp_path / "elsewhere")
    else:
        os.truncate(log.path, 0)
    log.write(b"3\n")
    log.write(b"4, so that it is longer\n")
    assert log.read() == [b"3", b"4, so that it is longer"]
    (told,) = log.lost
    assert "2 bytes were read" in told


def test_a_file_that_is_no_gzip_or_has_no_end_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.follow.MOST_PACKED", 4 << 20)
    log = _Log(tmp_path)
    log.write(b"1\n" * 100)
    log.read()
    log.rotate()
    first = tmp_path / "app.log.1"
    for name, data in (
        ("app.log.1.gz", gzip.compress(first.read_bytes())[:-9]),
        ("app.log.2.gz", b"none"),
        ("app.log.3.gz", b""),
        ("app.log.4.gz", gzip.compress(bytes(9 << 20))),
    ):
        (tmp_path / name).write_bytes(data)
    first.unlink()
    log.write(b"next\n")
    assert log.read()[-1] == b"next"
    assert "4194304 bytes were read" in log.lost[-1] or "8388608 bytes" in log.lost[-1]


def test_a_file_that_is_being_packed_is_not_read_twice(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    log.write(b"1\n")
    log.read()
    for n in (2, 3):
        log.rotate()
        log.write(b"%d\n" % n)
    for n in (1, 2):
        (tmp_path / f"app.log.{n}.gz").write_bytes(
            gzip.compress((tmp_path / f"app.log.{n}").read_bytes())
        )
    assert log.read() == [b"2", b"3"]


def test_a_long_line_comes_in_pieces_and_loses_nothing(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    log.write(b"a" * (300 << 10) + b"\nshort\n" + b"b" * (1500 << 10) + b"\n")
    lines = log.read()
    assert max(map(len, lines)) <= LONGEST_LINE
    assert b"".join(lines) == b"a" * (300 << 10) + b"short" + b"b" * (1500 << 10)
