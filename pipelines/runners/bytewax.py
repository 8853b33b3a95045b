"""Run a flow on bytewax: its input, flat-map and output interfaces, nothing else of it.

Not used: its recovery (the ledger is the authority), its windows (they drop in-order events after
a stall) and its cluster exchange (0.4 to 0.7 of the per-core speed). Absent above Python 3.12.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from pipelines.lanes import Lanes
from pipelines.running import Done, Flow, Work
from storage.errors import InopsioError, PluginError

try:
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.errors import BytewaxRuntimeError
    from bytewax.inputs import DynamicSource, StatelessSourcePartition
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import run_main
except ImportError:
    op = None
    DynamicSource = StatelessSourcePartition = DynamicSink = StatelessSinkPartition = object

EPOCH: Final = timedelta(seconds=0.5)
_AT_ONCE: Final = datetime.fromtimestamp(0, UTC)
_SHORTLY_S: Final = 0.001
_IN_FLIGHT: Final = 2
"""Polls between source and sink at most: bytewax' own queues have no bound but the epoch."""


class _Polls(StatelessSourcePartition):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, flow: Flow | Lanes, once: bool) -> None:
        self._flow = flow
        self._once = once

    def next_batch(self) -> Iterable[Work]:
        flow = self._flow
        if flow.stop.is_set():
            raise StopIteration
        work = flow.poll() if flow.in_flight < _IN_FLIGHT else None
        if work is not None:
            return [work]
        if self._once and not flow.in_flight:
            raise StopIteration
        # Waited here, not by bytewax: it reckons by the wall clock, and set back an hour it would
        # sleep that hour. What is in flight is committed by this same thread.
        flow.stop.wait(_SHORTLY_S if flow.in_flight else flow.linger_s)
        return []

    def next_awake(self) -> datetime | None:
        return _AT_ONCE


class _Source(DynamicSource):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, flow: Flow | Lanes, once: bool) -> None:
        self._flow = flow
        self._once = once

    def build(self, _step_id: str, _worker_index: int, worker_count: int) -> _Polls:
        if worker_count != 1:
            raise PluginError("a flow runs in one worker; start more processes instead")
        return _Polls(self._flow, self._once)


class _Commits(StatelessSinkPartition):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, flow: Flow | Lanes) -> None:
        self._flow = flow

    def write_batch(self, items: list[Done]) -> None:
        for done in items:
            self._flow.commit(done)


class _Sink(DynamicSink):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, flow: Flow | Lanes) -> None:
        self._flow = flow

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Commits:
        return _Commits(self._flow)


def is_available() -> bool:
    """Answer whether bytewax is installed (Python 3.11 and 3.12)."""
    return op is not None


def run(flow: Flow | Lanes, once: bool = False) -> None:
    """Run until `flow.stop` is set, or with `once` until the log holds nothing more."""
    graph = Dataflow("events")
    polls = op.input("poll", graph, _Source(flow, once))
    done = op.map("process", polls, flow.process)
    op.output("commit", done, _Sink(flow))
    try:
        run_main(graph, epoch_interval=EPOCH)
    except BytewaxRuntimeError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, InopsioError):
                raise cause from error  # the caller's policy goes by our own types
            cause = cause.__cause__
        raise
