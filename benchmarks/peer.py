"""The flow's peer: the same job on bytewax alone, one dict an event and bytewax's own window."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
import polars as pl
import yaml
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import windowing as win
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

from benchmarks.otrf import RepeatedLog

Event = dict[str, str]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lambdas(folder: Path) -> list[Callable[[Event], bool]]:
    """Turn each rule's selections into one Python predicate: any selection, all of its fields.

    Simpler than the rules are (no conditions, only three modifiers), which favours this peer.
    """
    found: list[Callable[[Event], bool]] = []
    for file in sorted(folder.glob("*.yml")):
        detection = yaml.safe_load(file.read_text())["detection"]
        groups = [_tests(s) for name, s in detection.items() if isinstance(s, dict)]
        found.append(lambda e, groups=groups: any(all(t(e) for t in g) for g in groups))  # type: ignore[misc]  # a closure over its own groups
    return found


def _tests(selection: Mapping[str, Any]) -> list[Callable[[Event], bool]]:
    tests: list[Callable[[Event], bool]] = []
    for key, value in selection.items():
        field, _, modifier = key.partition("|")
        words = tuple(str(v).lower() for v in (value if isinstance(value, list) else [value]))
        if modifier.startswith("endswith"):
            tests.append(lambda e, f=field, w=words: e.get(f, "").endswith(w))  # type: ignore[misc]  # bound at once
        elif modifier.startswith("startswith"):
            tests.append(lambda e, f=field, w=words: e.get(f, "").startswith(w))  # type: ignore[misc]  # bound at once
        elif modifier.startswith("contains"):
            tests.append(lambda e, f=field, w=words: any(x in e.get(f, "") for x in w))  # type: ignore[misc]  # bound at once
        else:
            tests.append(lambda e, f=field, w=words: e.get(f, "") in w)  # type: ignore[misc]  # bound at once
    return tests


class _Lines(StatelessSourcePartition):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, log: RepeatedLog) -> None:
        self._messages: Iterator[Any] = log.all_messages()

    def next_batch(self) -> Iterable[bytes]:
        return list(next(self._messages).value.splitlines())


class _Source(DynamicSource):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, log: RepeatedLog) -> None:
        self._log = log

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Lines:
        return _Lines(self._log)


class _Parquet(StatelessSinkPartition):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[Event] = []
        self._files = 0

    def write_batch(self, items: list[Event]) -> None:
        self._rows += items
        if len(self._rows) >= 8192:
            self.close()

    def close(self) -> None:
        if self._rows:
            frame = pl.from_dicts(self._rows, infer_schema_length=None)
            frame.write_parquet(self._folder / f"{self._files}.parquet", compression_level=1)
            self._files += 1
            self._rows = []


class _Nothing(StatelessSinkPartition):  # type: ignore[misc]  # bytewax has no type hints
    def write_batch(self, items: list[Any]) -> None:
        """Let go."""


class _Sink(DynamicSink):  # type: ignore[misc]  # bytewax has no type hints
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> Any:  # noqa: ANN401  either partition
        return self._make()


_NAMES = {
    "Hostname": "device.hostname",
    "AccountName": "actor.user.name",
    "SourceIp": "src_endpoint.ip",
    "DestinationIp": "dst_endpoint.ip",
    "QueryName": "query.hostname",
    "Image": "process.file.path",
    "CommandLine": "process.cmd_line",
    "ParentImage": "process.parent_process.file.path",
    "TargetFilename": "file.path",
    "EventID": "metadata.event_code",
    "Channel": "metadata.log_name",
}
_ENTITIES = ("device.hostname", "actor.user.name", "src_endpoint.ip", "query.hostname")


def _decode(line: bytes) -> Event:
    """Give the event's own fields in lower case, and the common names beside them."""
    event = {k: str(v).lower() for k, v in orjson.loads(line).items() if v is not None}
    for own, common in _NAMES.items():
        if own in event:
            event[common] = event[own]
    event["_time"] = event.get("@timestamp", "1970-01-01t00:00:00z").replace("z", "+00:00").upper()
    return event


def _keyed(event: Event) -> list[tuple[str, str]]:
    """Give (entity, time) for each entity that the flow counts too."""
    return [(f"{e}/{event[e]}", event["_time"]) for e in _ENTITIES if event.get(e)]


def run_peer(log: RepeatedLog, rules: Path, folder: Path, window_s: int) -> None:
    """Decode each line to a dict, ask each rule, count by entity in its window, write Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    predicates = lambdas(rules)
    graph = Dataflow("peer")
    events = op.map("decode", op.input("in", graph, _Source(log)), _decode)

    def ask(event: Event) -> Event:
        event["_hits"] = str(sum(1 for p in predicates if p(event)))
        return event

    asked = op.map("rules", events, ask)
    op.output("parquet", asked, _Sink(lambda: _Parquet(folder)))
    keyed = op.flat_map("entities", asked, _keyed)
    counts = win.fold_window(
        "count",
        keyed,
        win.EventClock(
            ts_getter=datetime.fromisoformat,
            wait_for_system_duration=timedelta(seconds=60),
        ),
        win.TumblingWindower(length=timedelta(seconds=window_s), align_to=_EPOCH),
        builder=lambda: 0,
        folder=lambda count, _event: count + 1,
        merger=lambda a, b: a + b,
    )
    op.output("counts", counts.down, _Sink(_Nothing))
    run_main(graph)
