"""Carry files into the running system and say what became of each of them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.house import House
from deploy.output import progress
from pipelines.dead_letter import RAW_TOPIC
from pipelines.edge import as_messages
from pipelines.flow import FLOW
from pipelines.parsing import parse_stream, split_stream
from pipelines.sources.files import Input, walk
from storage.database.commit import flow_position
from storage.database.queries import select
from storage.errors import InvalidBatch, InvalidInput, Unavailable
from storage.identity import new_id
from storage.log import Record
from storage.tenant import Scope

MESSAGE_BYTES: Final = 1 << 20
APPEND_BYTES: Final = 8 << 20
PATIENCE_S: Final = 60.0
"""How long the pipelines may stand still before the command gives up waiting for them."""


@dataclass(slots=True)
class Result:
    """Say what became of one file or member; `reason` is set where something was refused."""

    file: str
    format: str = ""
    events: int = 0
    rejected: int = 0
    reason: str | None = None
    source: str = ""
    places: dict[int, int] = field(default_factory=dict)
    """Partition -> offset of this file's last message."""

    def row(self) -> dict[str, object]:
        """Give the line that `--json` prints."""
        line: dict[str, object] = {
            "file": self.file,
            "format": self.format,
            "events": self.events,
            "rejected": self.rejected,
        }
        if self.reason is not None:
            line["reason"] = self.reason
        return line

    def is_whole(self) -> bool:
        """Answer whether nothing of the file was refused."""
        return self.reason is None and self.rejected == 0


def read_only(paths: Sequence[Path], tenant: str, asked: str | None) -> Iterator[Result]:
    """Read files as the pipelines would, keep nothing, count events and refusals."""
    now_us = time.time_ns() // 1000
    for item in progress_over(paths):
        result = Result(item.member)
        try:
            if item.reason is not None:
                raise InvalidBatch(item.reason)
            result.format, chunks = item.detected(asked)
            for batch, rejects in parse_stream(
                result.format,
                chunks,
                tenant_id=tenant,
                source=result.file,
                name=result.file,
                ingested_at_us=now_us,
            ):
                result.events += len(batch)
                result.rejected += len(rejects)
                if rejects and result.reason is None:
                    result.reason = f"record {rejects[0].position}: {rejects[0].reason}"
        except InvalidInput as wrong:
            result.reason = str(wrong)
        yield result


def progress_over(paths: Sequence[Path]) -> Iterator[Input]:
    """Walk the paths, showing on a terminal how far it is."""
    return progress(walk(paths), 0, "files")


def carry(house: House, scope: Scope, paths: Sequence[Path], asked: str | None) -> Iterator[Result]:
    """Append every file to the raw topic, then give each result when the pipelines have read it."""
    scope.require("events:write")
    sent = [_send(house, scope, item, asked) for item in progress_over(paths)]
    yield from _settled(house, scope, sent)


def _send(house: House, scope: Scope, item: Input, asked: str | None) -> Result:
    result = Result(item.member)
    try:
        if item.reason is not None:
            raise InvalidBatch(item.reason)
        result.format, chunks = item.detected(asked)
        result.source = f"file:{item.source(result.format)}"
        sent_as, messages = as_messages(result.format, chunks, MESSAGE_BYTES, split_stream)
        headers = {
            "tenant": scope.tenant_id,
            "source": result.source,
            "format": sent_as,
            "name": result.file[-1000:],
            "trace_id": new_id(time.time_ns() // 1000),
        }
        _append(house, result, headers, messages)
    except (InvalidInput, OSError) as wrong:
        result.reason = str(wrong)
    return result


def _append(
    house: House,
    result: Result,
    headers: Mapping[str, str],
    messages: Iterable[tuple[int, bytes]],
) -> None:
    key = f"{headers['tenant']}\x1f{headers['source']}".encode()
    waiting: list[Record] = []
    size = 0

    def flush() -> None:
        for partition, offset in house.log.append(RAW_TOPIC, waiting):
            result.places[partition] = offset
        waiting.clear()

    try:
        for position, value in messages:
            waiting.append(Record(key, value, {**headers, "position": str(position)}))
            size += len(value)
            if size >= APPEND_BYTES:
                flush()
                size = 0
    except InvalidInput:
        flush()  # what was read before the broken place counts
        raise
    flush()


def _settled(house: House, scope: Scope, sent: Sequence[Result]) -> Iterator[Result]:
    open_ = list(sent)
    moved_s = time.monotonic()
    before: object = None
    while open_:
        at = {
            p: n for (t, p), (n, _) in flow_position(house.database, FLOW).items() if t == RAW_TOPIC
        }
        ready = [r for r in open_ if all(at.get(p, 0) > o for p, o in r.places.items())]
        for result in ready:
            _count(house, scope, result)
            yield result
        open_ = [r for r in open_ if r not in ready]
        if at != before:
            before, moved_s = at, time.monotonic()
        elif open_ and time.monotonic() - moved_s > PATIENCE_S:
            raise Unavailable(
                f"{len(open_)} files are kept in the log but no pipeline reads them; "
                "is the system up? Try: inopsio status"
            )
        if open_:
            time.sleep(0.1)


def _count(house: House, scope: Scope, result: Result) -> None:
    if not result.source:
        return
    with house.database.app(scope) as connection:
        rows = select(connection, "source_progress", source=result.source)
    for row in rows:
        result.events = int(str(row["events"]))
        result.rejected = int(str(row["rejected"]))
        if result.rejected and row["last_reason"]:
            result.reason = str(row["last_reason"])
