import threading
from collections.abc import Sequence

import pytest

from storage.errors import Unavailable
from storage.log.group_commit import GroupCommit, Waiting


class Gate:
    """Note each group; hold the first one until told to go on."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.is_inside = threading.Event()
        self.go_on = threading.Event()

    def run(self, group: Sequence[Waiting[str]]) -> None:
        self.groups.append(len(group))
        for waiting in group:
            waiting.result = waiting.work("home")
        if len(self.groups) == 1:
            self.is_inside.set()
            self.go_on.wait(10)


def test_a_lone_caller_is_written_at_once_however_long_the_linger() -> None:
    gate = Gate()
    gate.go_on.set()
    writes = GroupCommit(gate.run, linger_s=1000)
    assert [writes.write(lambda home: home + "!") for _ in range(3)] == ["home!"] * 3
    assert gate.groups == [1, 1, 1]


def test_who_comes_during_a_commit_shares_the_next_one() -> None:
    gate = Gate()
    writes = GroupCommit(gate.run, linger_s=1000)
    results: list[int] = []

    def write(n: int) -> None:
        results.append(writes.write(lambda _: n))

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(5)]
    threads[0].start()
    gate.is_inside.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(writes._queue) < 4:
        threading.Event().wait(0.001)
    gate.go_on.set()
    threads[0].join(10)
    write(5)
    for thread in threads:
        thread.join(10)
    assert sorted(results) == [0, 1, 2, 3, 4, 5]
    assert gate.groups == [1, 5], "the leader lingers for as many as were there the last time"


def test_a_failed_group_tells_everyone_and_the_next_goes_on() -> None:
    def run(group: Sequence[Waiting[str]]) -> None:
        if not failures:
            return
        for waiting in group:
            waiting.error = failures.pop()

    failures = [Unavailable("the disk is full")]
    writes = GroupCommit(run, linger_s=0)
    with pytest.raises(Unavailable, match="the disk is full"):
        writes.write(str)
    assert writes.write(str) is None


def test_an_interrupted_leader_tells_those_who_wait_with_it() -> None:
    gate = Gate()

    def run(group: Sequence[Waiting[str]]) -> None:
        gate.run(group)
        if len(gate.groups) == 2:
            raise KeyboardInterrupt

    def write() -> None:
        try:
            writes.write(str)
        except (Unavailable, KeyboardInterrupt) as error:
            raised.append(type(error).__name__)

    raised: list[str] = []
    writes = GroupCommit(run, linger_s=0)
    threads = [threading.Thread(target=write, daemon=True) for _ in range(4)]
    threads[0].start()
    gate.is_inside.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(writes._queue) < 3:
        threading.Event().wait(0.001)
    gate.go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(raised) == ["KeyboardInterrupt", "Unavailable", "Unavailable"]
    assert writes.write(lambda home: home) == "home"


def test_a_closed_commit_takes_no_more_work() -> None:
    writes = GroupCommit(Gate().run, linger_s=0)
    writes.close()
    with pytest.raises(Unavailable, match="closed"):
        writes.write(str)
