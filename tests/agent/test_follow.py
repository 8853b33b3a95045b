"""See a log file followed through growth, half lines, truncation and rotation."""

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
