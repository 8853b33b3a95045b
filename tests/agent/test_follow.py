"""See a log file followed through growth, half lines, truncation and rotation."""

from pathlib import Path
from typing import Any

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
