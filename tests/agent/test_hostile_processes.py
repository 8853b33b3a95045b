"""Start programs as somebody who wants the watch of processes blind: long words, many of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.collect import Out
from agent.collect.linux import _gap, _proc, _table
from agent.collect.linux._kernel import Exec
from agent.collect.linux._table import Table
from agent.spool import Spool
from tests.shared import ROOT

NOW_US = 1_790_000_000_000_000
LONG = "x" * 100_000


@pytest.fixture
def sleeper() -> Iterator[int]:
    """Give the pid of a program with a very long word."""
    child = subprocess.Popen(["/bin/sh", "-c", "read x", LONG], stdin=subprocess.PIPE)
    yield child.pid
    child.communicate(b"\n")


def test_a_long_command_line_is_kept_in_part_with_its_true_length(sleeper: int) -> None:
    seen = _proc.read(sleeper)
    assert seen is not None
    assert seen.argv is not None
    assert len(seen.argv) == _proc.ARGS_MOST
    assert seen.argv_bytes == len(f"/bin/sh -c read x {LONG} ")


def test_a_scan_says_how_long_a_command_line_was(sleeper: int) -> None:
    events = Table(set()).scan(NOW_US)
    (mine,) = [e for e in events if e["process"]["pid"] == sleeper]
    assert len(mine["process"]["cmd_line"]) == _proc.ARGS_MOST
    assert mine["cmd_line_bytes"] > len(LONG)


def test_a_short_one_has_no_length_of_its_own() -> None:
    (mine,) = [e for e in Table(set()).scan(NOW_US) if e["process"]["pid"] == os.getpid()]
    assert "cmd_line_bytes" not in mine


def test_command_lines_together_are_bounded_but_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table, "MOST_ARGV", 10_000)
    table, argv = Table(set()), b"sh\0" + b"y" * 4000
    told = [
        table.started(Exec(10_000_000 + n, NOW_US, 1, n, argv, len(argv)), "made")
        for n in range(50)
    ]
    held = sum(len(p.argv or b"") for p in table._live.values())
    assert {len(e["process"]["cmd_line"]) for e in told} == {4003}
    assert table._argv_bytes == held
    assert held <= 10_000 + 51 * 128


def test_many_running_programs_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table, "MOST_A_SCAN", 2)
    table, pids = Table(set()), list[int]()
    for _ in range(1000):
        events = table.scan(NOW_US)
        pids += [e["process"]["pid"] for e in events if e["activity_id"] == 1]
        if not table.is_behind:
            break
    assert os.getpid() in pids
    assert len(set(pids)) == len(pids)


def test_the_time_in_which_nobody_listened_is_an_interval() -> None:
    notes = _gap.heard(NOW_US - 5_000_000)
    (told,) = _gap.gap(notes, "processes", NOW_US)
    assert told["metadata"]["event_code"] == "kernel_overrun"
    assert (told["start_time_us"], told["end_time_us"]) == (NOW_US - 5_000_000, NOW_US)
    assert _gap.gap({}, "processes", NOW_US) == [], "a first start"
    assert _gap.gap({**notes, "boot": "another"}, "processes", NOW_US) == []


def test_long_ones_find_less_room_and_are_counted() -> None:
    out, short = Out(most=100), {"process": {"cmd_line": "sh"}}
    long = {"process": {"cmd_line": "x" * 4096, "parent_process": {"cmd_line": "y" * 4096}}}
    out.put([short] * 10 + [long] * 50)
    look, lost, _ = out.take()
    assert (len(look.events), lost) == (10 + 90 // 5, 50 - 90 // 5)
    out.put_back(look, lost, fresh=False)
    out.put([], None, [b"z" * 20480] * 20)
    look, lost, _ = out.take()
    assert (len(look.events), len(look.lines), lost) == (28, 9, 50 - 18 + 11)


@pytest.mark.skipif(os.geteuid() != 0, reason="kernel events are for root")
def test_what_begins_anew_says_its_last_words_and_the_time_between(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("memory_mb = 1\n")
    words = [sys.executable, "-m", "agent", "--data", str(tmp_path)]
    more = ["--config", str(tmp_path / "agent.toml"), "run", "--only", "look"]
    child = subprocess.Popen([*words, *more], cwd=ROOT)
    told, end_s = list[dict[str, Any]](), time.monotonic() + 60
    while time.monotonic() < end_s and not any("start_time_us" in t for t in told):
        time.sleep(0.5)
        if (tmp_path / "spool.sqlite").exists():
            spool = Spool(tmp_path / "spool.sqlite")
            while (batch := spool.next_batch()) is not None:
                told += [json.loads(row) for row in batch.rows if row.startswith(b"{")]
                spool.done(batch)
            spool.close()
    child.send_signal(signal.SIGTERM)
    child.wait(30)
    between = next(t for t in told if "start_time_us" in t)
    anew = next(t for t in told if t["metadata"].get("event_code") == "agent_begun_anew")
    assert between["metadata"]["event_code"] == "kernel_overrun"
    # Noted as it ended, not five seconds before as it began.
    assert 0 < anew["time"] - between["start_time_us"] / 1000 < 3000
