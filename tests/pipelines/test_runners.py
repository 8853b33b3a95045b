"""Two runners, one seam: the same results, and both stop when told."""

import threading
from types import ModuleType

import pytest
from polars.testing import assert_frame_equal

from pipelines.flow import runner_named
from pipelines.runners import bytewax, loop
from pipelines.running import Flow
from storage.errors import InvalidInput, PluginError, Unavailable
from storage.log.memory import MemoryLog
from storage.outcome import Outcome
from storage.settings import Settings
from tests.pipelines.memory import T0_US, MemoryLedger, fill, house, record

needs_bytewax = pytest.mark.skipif(not bytewax.is_available(), reason="bytewax is not installed")
RUNNERS = [loop, pytest.param(bytewax, marks=needs_bytewax)]


def filled() -> MemoryLog:
    log = MemoryLog(4, lambda: T0_US)
    for source in range(4):
        rows = [(-40_000 + i * 7 + source, f"h{i % 3}", i) for i in range(200)]
        for i in range(0, 200, 10):
            fill(log, [record(rows[i : i + 10], i, ("acme", "bolt")[source % 2], f"s{source}")])
    return log


def result(runner: ModuleType, ledger: MemoryLedger, poll_rows: int = 7) -> MemoryLedger:
    flow = Flow(house(batch_rows=64), Settings(), filled(), ledger, poll_rows=poll_rows)
    runner.run(flow, once=True)
    return ledger


@needs_bytewax
def test_both_runners_give_the_same() -> None:
    one, two = result(loop, MemoryLedger()), result(bytewax, MemoryLedger(), poll_rows=11)
    assert_frame_equal(one.events(), two.events())
    assert one.events().height == 800
    assert one.findings
    assert one.findings == two.findings
    assert one.window_counts() == two.window_counts()


@pytest.mark.parametrize("runner", RUNNERS)
def test_failures_at_commit_lose_and_double_nothing(runner: ModuleType) -> None:
    failures = [Unavailable("down"), None, ValueError("odd"), None, Unavailable("down")]

    def refuse(outcome: Outcome) -> None:
        error = failures.pop() if failures else None
        if error is not None:
            raise error

    ledger = result(runner, MemoryLedger(refuse=refuse))
    assert_frame_equal(ledger.events(), result(loop, MemoryLedger()).events())
    assert not ledger.letters


@pytest.mark.parametrize("runner", RUNNERS)
def test_runner_returns_when_told_to_stop(runner: ModuleType) -> None:
    stop, log = threading.Event(), MemoryLog(1)

    class StoppingLedger(MemoryLedger):
        def commit(self, outcome: Outcome) -> bool:
            stop.set()
            return super().commit(outcome)

    fill(log, [record([(0, "h1", 1)], 0)])
    ledger = StoppingLedger()
    runner.run(Flow(house(), Settings(), log, ledger, stop=stop))
    assert ledger.commits == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_house_that_is_built_wrong_ends_the_run_with_its_own_error(runner: ModuleType) -> None:
    def refuse(outcome: Outcome) -> None:
        raise PluginError("built wrong")

    with pytest.raises(PluginError, match="built wrong"):
        result(runner, MemoryLedger(refuse=refuse))


def test_unknown_runner_is_named() -> None:
    with pytest.raises(InvalidInput, match="'spark' is unknown; one of: auto, loop, bytewax"):
        runner_named("spark")
    assert runner_named("auto") is (bytewax if bytewax.is_available() else loop)
