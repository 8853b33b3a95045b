"""Tell where a flow's CPU time goes: this process' seconds, by stage, nested ones taken out."""

import functools
import time
from collections.abc import Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from pipelines import running, step, together
from pipelines.ledger import DatabaseLedger
from pipelines.sinks import CONTRACT
from pipelines.sources.event_log import EventLogReader
from storage.lake import Lake
from storage.plugins import discover

_PLACES: Final[tuple[tuple[str, Any, str], ...]] = (
    ("fetch from the log", EventLogReader, "look"),
    ("messages to lines, letters", step, "_decode_all"),
    ("JSON to event columns", together, "_read"),
    ("ids and envelope", together, "stamp_rows"),
    ("order in time, batches", step, "_on_time"),
    ("order in time, batches", step, "_cut"),
    ("rules and detectors", step, "fold"),
    ("counts and state", step, "_outcome"),
    ("Parquet", Lake, "write"),
    ("commit, ledger", DatabaseLedger, "commit"),
    ("known positions", DatabaseLedger, "positions"),
    ("counts and state", running, "step"),
)


class Stages:
    """Time the places while in use. `spent`: stage -> CPU-seconds of this process."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self.spent: dict[str, float] = {}
        self._inner: list[float] = []
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Self:
        """Put the clocks in."""
        for stage, owner, name in _PLACES:
            if hasattr(owner, name):
                self._put(stage, owner, name)
        for name, module in discover("pipelines.sinks", CONTRACT).items():
            self._put(f"sink {name.rpartition('.')[2]}", module, "write")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Take the clocks out."""
        for owner, name, before in reversed(self._undo):
            setattr(owner, name, before)

    def _put(self, stage: str, owner: ModuleType | type, name: str) -> None:
        before = getattr(owner, name)
        self._undo.append((owner, name, before))
        setattr(owner, name, self._timed(stage, before))

    def _timed(self, stage: str, action: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(action)
        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401  any function
            start = time.process_time()
            self._inner.append(0.0)
            try:
                return action(*given, **named)
            finally:
                whole = time.process_time() - start
                inner = self._inner.pop()
                self.spent[stage] = self.spent.get(stage, 0.0) + whole - inner
                if self._inner:
                    self._inner[-1] += whole

        return call


def shown(spent: Mapping[str, float], events: int) -> str:
    """Write the stages, dearest first, in CPU microseconds an event."""
    total = sum(spent.values())
    rows = [f"{'stage':32}{'µs/event':>10}{'share':>8}"]
    for stage, cpu_s in sorted(spent.items(), key=lambda one: -one[1]):
        rows.append(f"{stage:32}{cpu_s / events * 1e6:>10.2f}{cpu_s / total:>8.0%}")
    rows.append(f"{'all':32}{total / events * 1e6:>10.2f}{events / total:>10.0f} events/CPU-s")
    return "\n".join(rows)
