"""Write into a real journal what a program should not, and leave an old auth.log beside it."""

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.collect import Out
from agent.collect.linux import journal, logins
from agent.collect.linux.journal import MOST_RECORD, line_of, records
from tests.agent.journal_apart import JOURNALD, Journal
from tests.agent.journal_apart import journal as a_journal
from tests.agent.test_collect_states import NOW_US, _utmp

with_journal = pytest.mark.skipif(
    os.geteuid() != 0 or not JOURNALD.exists(), reason="a journal of its own is for root"
)


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    """Give a real journal that the collector asks."""
    try:
        with a_journal(tmp_path) as made:
            monkeypatch.setattr(journal, "PROGRAMS", (str(made.program),))
            monkeypatch.setattr(journal, "AGAIN_S", 0.2)
            monkeypatch.setattr(journal, "AUTH_LOGS", (tmp_path / "auth.log",))
            yield made
    except OSError as wrong:
        pytest.skip(str(wrong))


class Following:
    """The collector at work in a thread."""

    def __init__(self, options: dict[str, Any], notes: dict[str, Any] | None = None) -> None:
        self.out, self.stop, self.lines = Out(notes), threading.Event(), list[bytes]()
        words = (self.out, self.stop, options)
        self._thread = threading.Thread(target=journal.watch, args=words)
        self._thread.start()

    def until(self, text: bytes, wait_s: float = 15) -> bytes:
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s:
            self.lines += self.out.take()[0].lines
            for line in self.lines:
                if text in line:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"{text!r} not in {[line[:80] for line in self.lines]}")

    def end(self) -> dict[str, Any]:
        self.stop.set()
        self._thread.join(10)
        return self.out.notes


@with_journal
def test_a_long_message_is_read_and_a_wrong_priority_is_none(apart: Journal) -> None:
    apart.say(b"before")
    at_work = Following({}, {"cursor": None})
    try:
        end_s = time.monotonic() + 10
        while not at_work.lines and time.monotonic() < end_s:
            apart.say(b"x" * 6000, priority="99999999")
            time.sleep(0.3)
            at_work.lines += at_work.out.take()[0].lines
        assert at_work.lines
        assert at_work.lines[0].startswith(b"<86>1 ")
        assert at_work.lines[0].endswith(b"x" * 6000)
        apart.say(b"y" * 2_000_000)
        apart.say(b"after the longest")
        assert at_work.until(b"after the longest")
        long = at_work.until(b"yyyy")
        assert len(long) < 9000
    finally:
        notes = at_work.end()
    for n in range(30):
        apart.say(b"while off %d." % n)
    again = Following({}, json.loads(json.dumps(notes)))
    try:
        again.until(b"while off 29.")
        assert [line.rsplit(b" ", 1)[1] for line in again.lines] == [b"%d." % n for n in range(30)]
    finally:
        again.end()


@with_journal
def test_an_auth_log_that_is_left_over_does_not_switch_the_journal_off(
    apart: Journal, tmp_path: Path
) -> None:
    log = tmp_path / "auth.log"
    log.write_text("old\n")
    old_s = time.time() - 3600
    apart.say(b"told by both")
    at_work = Following({})
    try:
        time.sleep(0.6)
        assert at_work.out.take()[0].lines == [], "the auth.log is as young as the journal"
        os.utime(log, (old_s, old_s))
        at_work.until(b"told by both")
        apart.say(b"only here")
        at_work.until(b"only here")
        log.write_text("written again\n")
        time.sleep(2.5)
        at_work.out.take()
        apart.say(b"there too")
        time.sleep(0.6)
        assert at_work.out.take()[0].lines == []
    finally:
        at_work.end()


def test_a_record_without_end_does_not_take_what_comes_after() -> None:
    endless = b'{"__CURSOR":"a","MESSAGE":"' + b"z" * (2 * MOST_RECORD) + b'","PRIORITY":"6"}\n'
    after = b'{"__CURSOR":"b","MESSAGE":"next"}\n'
    first, second = records(io.BytesIO(endless + after))
    assert (first["__CURSOR"], second["MESSAGE"]) == ("a", "next")
    assert line_of(first).endswith(b"z" * 8192)
    odd = b'{"__CURSOR":"c","MESSAGE":"a\\"b' + b"\\" * 10 + b"z" * MOST_RECORD
    (third,) = records(io.BytesIO(odd))
    assert third["MESSAGE"].startswith('a"b')


@pytest.mark.parametrize("number", ["99999999", "-1", "8", "9" * 5000, "x"])
def test_a_priority_out_of_range_is_information(number: str) -> None:
    assert line_of({"PRIORITY": number, "SYSLOG_FACILITY": "24"}).startswith(b"<30>1 ")
    assert line_of({"PRIORITY": "0", "SYSLOG_FACILITY": "23"}).startswith(b"<184>1 ")


def test_failures_are_read_where_the_auth_log_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wtmp, btmp, log = tmp_path / "wtmp", tmp_path / "btmp", tmp_path / "auth.log"
    for name, path in (("WTMP", wtmp), ("BTMP", btmp)):
        monkeypatch.setattr(logins, name, path)
        path.write_bytes(b"")
    monkeypatch.setattr(logins, "AUTH_LOGS", (log,))
    log.write_text("new\n")
    notes = logins.collect({}, NOW_US).notes
    btmp.write_bytes(_utmp(7, b"ssh:notty", b"both"))
    second = logins.collect(notes, NOW_US)
    os.utime(log, (1_500_000_000, 1_500_000_000))
    btmp.write_bytes(btmp.read_bytes() + _utmp(7, b"ssh:notty", b"root"))
    third = logins.collect(json.loads(json.dumps(second.notes)), NOW_US)
    assert second.events == []
    assert [e["user"]["name"] for e in third.events] == ["root"]
