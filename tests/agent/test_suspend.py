"""Stop processes so that each can go on, whatever happens meanwhile."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.act import MOST_MINUTES, Host, Refuses, _processes, left_s, suspend
from agent.orders import InForce, Orders
from tests.agent.test_orders import _state, _uid

FORKS = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"


@pytest.fixture
def tree() -> Iterator[int]:
    """Give a process with a child."""
    with subprocess.Popen([sys.executable, "-c", FORKS]) as started:
        end_s = time.monotonic() + 10
        while len(_processes.below(started.pid)) < 2:
            assert time.monotonic() < end_s
            time.sleep(0.01)
        pids = _processes.below(started.pid)
        yield started.pid
        for pid in pids:
            subprocess.run(["kill", "-9", str(pid)], check=False)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    orders = Orders(tmp_path / "orders.sqlite")
    yield Host(tmp_path, orders, list, frozenset, time.time)
    orders.close()


def test_each_is_noted_before_it_is_stopped_and_goes_on_where_that_fails(tree: int) -> None:
    running: list[str] = []

    def note(found: list[_processes.Named]) -> None:
        running.append(_state(found[-1].pid))
        if len(found) == 2:
            raise OSError("the disk is full")

    with ExitStack() as stack:
        root = _processes.hold(_uid(tree), stack)
        with pytest.raises(OSError, match="full"):
            _processes.stopped(root, frozenset(), stack, is_tree=True, note=note)
    assert (len(running), "T" in running) == (2, False)
    assert all(_state(pid) != "T" for pid in _processes.below(tree))


def test_all_that_is_stopped_is_on_disk(host: Host, tree: int) -> None:
    told = suspend.do("a", {"process": _uid(tree)}, host)
    (one,) = host.orders.held()
    assert set(one.detail["processes"]) == {_uid(pid) for pid in _processes.below(tree)}
    assert told["count"] == suspend.undo(one, host)["count"] == 2


def test_a_pid_that_is_no_child_by_now_is_not_stopped(
    tree: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            below = _processes.below
            monkeypatch.setattr(_processes, "below", lambda pid: [*below(pid), stranger.pid])
            with ExitStack() as stack:
                root = _processes.hold(_uid(tree), stack)
                held = _processes.stopped(root, frozenset(), stack, is_tree=True)
                assert stranger.pid not in {one.pid for one in held}
                assert len(held) == 2
            assert _state(stranger.pid) != "T"
        finally:
            stranger.kill()


def test_nothing_is_in_force_for_longer_than_a_day(host: Host) -> None:
    one = InForce("a", "isolate", time.time() + 10**9, {})
    assert left_s(one, host) == MOST_MINUTES * 60


def test_the_agent_itself_is_not_stopped(tree: int) -> None:
    own = frozenset(_processes.below(tree)[1:])
    with ExitStack() as stack:
        root = _processes.hold(_uid(tree), stack)
        with pytest.raises(Refuses):
            _processes.stopped(root, own, stack, is_tree=True)
    assert _state(tree) != "T"
