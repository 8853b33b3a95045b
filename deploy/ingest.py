"""Carry files into the running system and say what became of each of them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.house import House
from deploy.output import note, progress
from deploy.running import running
from pipelines.dead_letter import RAW_TOPIC
from pipelines.edge import as_messages
from pipelines.flow import FLOW
from pipelines.parsing import parse_stream, split_stream
from pipelines.sources.files import Input, walk
from storage.database.commit import flow_position
from storage.database.queries import select
from storage.errors import InvalidBatch, InvalidInput, Overloaded, Unavailable
from storage.identity import new_id
from storage.log import Record
from storage.quotas import Quotas, rate_of
from storage.tenant import Scope, system_scope
from storage.wire import HEADER, RAW

MESSAGE_BYTES: Final = 1 << 20
APPEND_BYTES: Final = 8 << 20
SETTLE_EVERY: Final = 64
PATIENCE_S: Final = 30.0
"""How long the pipelines may stand still before the command gives up waiting for them."""
LONG_PATIENCE_S: Final = 180.0
"""The same where a house is up: its supervisor starts again what died."""


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
    """Walk the paths, one file open at a time, showing on a terminal how many were taken."""
    return progress(walk(paths), 0, "files")


def carry(house: House, scope: Scope, paths: Sequence[Path], asked: str | None) -> Iterator[Result]:
    """Append every file to the raw topic; give each result once the pipelines have read it.

    Waits where they are `lag_limit` messages behind. Unavailable if they stand still for long.
    """
    scope.require("events:write")
    patience = Patience(house)
    waiting: list[Result] = []
    for item in progress_over(paths):
        waiting.append(_send(house, scope, item, asked, patience))
        if len(waiting) >= SETTLE_EVERY:
            yield from _settled(house, scope, waiting, patience.places())
    while waiting:
        note(f"waiting for the pipelines: {len(waiting)} files")
        yield from _settled(house, scope, waiting, patience.places())
        if waiting:
            patience.wait(f"{len(waiting)} files are kept in the log")
    note("")


def _settled(
    house: House, scope: Scope, waiting: list[Result], at: Mapping[int, int]
) -> Iterator[Result]:
    """Give those of the waiting that were read up to their last message, and take them off."""
    ready = [r for r in waiting if all(at.get(p, 0) > o for p, o in r.places.items())]
    done = {id(r) for r in ready}
    waiting[:] = [r for r in waiting if id(r) not in done]
    for result in ready:
        _count(house, scope, result)
        yield result


class Patience:
    """Wait for the pipelines as long as they move; a restart of theirs is waited out."""

    def __init__(self, house: House) -> None:
        """Begin to wait now."""
        self._house = house
        self._moved_s = time.monotonic()
        self._places: dict[int, int] = {}

        def own(tenant_id: str) -> int | None:
            return rate_of(house.database, system_scope(tenant_id, "quota"))

        self._quotas = Quotas(own, house.settings.tenant_bytes_s)

    def places(self) -> dict[int, int]:
        """Give partition -> how far the pipelines have read it."""
        read = flow_position(self._house.database, FLOW)
        places = {p: n for (topic, p), (n, _) in read.items() if topic == RAW_TOPIC}
        if places != self._places:
            self._places, self._moved_s = places, time.monotonic()
        return places

    def wait(self, what: str) -> None:
        """Sleep a little; Unavailable if nothing has moved for too long."""
        settings = self._house.settings
        longest_s = PATIENCE_S if running(settings) is None else LONG_PATIENCE_S
        if time.monotonic() - self._moved_s > longest_s:
            raise Unavailable(
                f"{what} but no pipeline reads them; is the system up? Try: inopsio status"
            )
        time.sleep(0.1)

    def wait_for_room(self) -> None:
        """Wait until no partition is more than `lag_limit` messages behind."""
        log = self._house.log
        limit = self._house.settings.lag_limit
        while True:
            places = self.places()
            ends = (
                log.end(RAW_TOPIC, p) - places.get(p, 0) for p in range(log.partitions(RAW_TOPIC))
            )
            if max(ends, default=0) <= limit:
                return
            self.wait("the log is full")

    def wait_for_quota(self, tenant_id: str, size_bytes: int) -> None:
        """Wait until the tenant may send so many bytes."""
        while True:
            try:
                return self._quotas.take(tenant_id, size_bytes, time.time_ns() // 1000)
            except Overloaded as over:
                time.sleep(over.retry_after_s)


def _send(house: House, scope: Scope, item: Input, asked: str | None, patience: Patience) -> Result:
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
            HEADER: RAW,
        }
        _append(house, result, headers, messages, patience)
    except (InvalidInput, OSError) as wrong:
        result.reason = str(wrong)
    return result


def _append(
    house: House,
    result: Result,
    headers: Mapping[str, str],
    messages: Iterable[tuple[int, bytes]],
    patience: Patience,
) -> None:
    key = f"{headers['tenant']}\x1f{headers['source']}".encode()
    waiting: list[Record] = []
    size = 0

    def flush() -> None:
        if waiting:
            patience.wait_for_room()
            patience.wait_for_quota(headers["tenant"], sum(len(r.value) for r in waiting))
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
        flush()  # what came before the damage is good
        raise
    flush()


def _count(house: House, scope: Scope, result: Result) -> None:
    if not result.source:
        return
    with house.database.app(scope) as connection:
        rows = select(connection, "source_progress", source=result.source)
    for row in rows:
        result.events = int(str(row["events"]))
        result.rejected = int(str(row["rejected"]))
        if result.rejected and row["last_reason"] and result.reason is None:
            result.reason = str(row["last_reason"])
