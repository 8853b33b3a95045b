"""Sit on the watched host as somebody without rights who wants the agent blind, slow or misused."""

import contextlib
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.collect.linux._baseline import differs, look
from agent.collect.linux._hashes import Hashes, hash_file
from agent.collect.linux.journal import line_of


def within(seconds: float, act: Callable[[], Any]) -> Any:  # noqa: ANN401  what it gives
    """Give what it gives; fail if it takes longer."""
    given: list[Any] = []
    doing = threading.Thread(target=lambda: given.append(act()), daemon=True)
    doing.start()
    doing.join(seconds)
    assert given, "it hangs, or raised"
    return given[0]


@pytest.fixture
def pipe(tmp_path: Path) -> Any:  # noqa: ANN401  a generator
    """Give a pipe that somebody holds open for writing, and never writes to."""
    place = tmp_path / "pipe"
    os.mkfifo(place)
    held = os.open(place, os.O_RDWR)
    yield place
    with contextlib.suppress(OSError):
        os.write(held, b"\n")
    os.close(held)


def test_what_has_no_end_is_not_hashed(tmp_path: Path, pipe: Path) -> None:
    link = tmp_path / "program"
    link.symlink_to("/dev/zero")
    for place in (pipe, link, Path("/dev/zero")):
        assert within(5, partial(hash_file, str(place))) == ""
        assert within(5, partial(Hashes().of, str(place))) == ""


def test_a_file_that_grows_while_it_is_hashed_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"x" * 2000)
    assert hash_file(str(place)).startswith("SHA256=")
    monkeypatch.setattr("agent.collect.linux._hashes.LARGEST", 1000)
    assert hash_file(str(place)) == ""


def rewrite(place: Path, text: str) -> None:
    """Write as many bytes as there were, and put the time of change back."""
    before = place.stat()
    place.write_text(text)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_change_is_seen_though_size_and_time_are_as_before(tmp_path: Path) -> None:
    place = tmp_path / "passwd"
    place.write_text("eve:1000")
    hashes, before = Hashes(), look(str(place), None)
    known = hashes.of(str(place))
    rewrite(place, "eve:0000")
    after = look(str(place), before)
    assert before is not None
    assert after is not None
    assert differs(before, after) == "content"
    assert hashes.of(str(place)) != known


def test_a_record_with_many_messages_is_a_line() -> None:
    told = {"MESSAGE": ["one", [116, 119, 111], None], "_HOSTNAME": "web"}
    assert line_of(told).endswith(b"one two -")
    assert line_of({"MESSAGE": [116, 119, 111]}).endswith(b"two")
    assert line_of({"MESSAGE": [1000, 5.5]}).endswith(b"1000 5.5")
