"""A message that ends the process is found over its deaths, refused, and the flow goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.attempts import FILE, MOST, Attempts
from storage.log import Message
from tests.pipelines.dying_child import EVENTS, KeptLedger
from tests.shared import ROOT


def test_message_that_ends_the_process_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.pipelines.dying_child", str(tmp_path), "64"]
    ends: list[int] = []
    while not ends or (ends[-1] and len(ends) < 20):
        ends.append(subprocess.run(words, cwd=ROOT, check=False, capture_output=True).returncode)
    assert ends == [7] * 2 * MOST + [0]
    ledger = KeptLedger(tmp_path / "ledger")
    assert ledger.events().height == EVENTS
    (letter,) = ledger.letters
    assert (letter.source, letter.raw) == ("s9", b"deadly")
    assert letter.reason.startswith("ended the process 3 times when read alone")
    assert not (tmp_path / FILE).exists()


def read(*places: tuple[int, int]) -> list[Message]:
    return [Message("raw.events", p, offset, b"k", b"v", {}, 0) for p, offset in places]


def test_deaths_at_one_place_are_counted_over_lives_and_progress_forgets_them(
    tmp_path: Path,
) -> None:
    for _ in range(MOST):
        one = Attempts(tmp_path / FILE)
        assert not one.is_careful
        one.begin(read((0, 5), (0, 6), (1, 9)))
    one = Attempts(tmp_path / FILE)
    assert one.is_careful
    one.committed({0: 7, 1: 9})
    assert one.is_careful
    one.committed({0: 7, 1: 10})
    assert not one.is_careful
    assert not (tmp_path / FILE).exists()


def test_orderly_ends_are_no_deaths(tmp_path: Path) -> None:
    for _ in range(9):
        one = Attempts(tmp_path / FILE)
        one.begin(read((0, 5)))
        one.broken_off()
    assert not Attempts(tmp_path / FILE).is_careful
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("left", [b"", b"\xff", b"[]", b'{"tries":{"a":[1]},"until":{}}'])
def test_file_that_says_nothing_is_as_if_absent(tmp_path: Path, left: bytes) -> None:
    (tmp_path / FILE).write_bytes(left)
    one = Attempts(tmp_path / FILE)
    assert not one.is_careful
    assert one.begin(read((0, 5))) == 0
