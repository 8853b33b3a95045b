"""Run the flow once over a made-up log; its parser ends the process at a deadly message."""

import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from pipelines.attempts import FILE, Attempts
from pipelines.decode import Run
from pipelines.parsers import Reject
from pipelines.runners import loop
from pipelines.running import Flow
from storage.log.memory import MemoryLog
from storage.outcome import Outcome
from storage.schema import EventBatch
from storage.settings import Settings
from tests.pipelines.memory import (
    T0_US,
    MemoryLedger,
    fill,
    house,
    parse_json,
    raw_record,
    record,
)

EVENTS = 24


class KeptLedger(MemoryLedger):
    """A ledger that outlives its process in a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        if path.is_file():
            # Written by this very test.
            self.__dict__.update(pickle.loads(path.read_bytes()))  # noqa: S301  own file

    def commit(self, outcome: Outcome) -> bool:
        done = super().commit(outcome)
        names = {f.name for f in fields(MemoryLedger)} - {"refuse"}
        self.path.write_bytes(pickle.dumps({name: getattr(self, name) for name in names}))
        return done


def filled() -> MemoryLog:
    """Give two partitions of harmless messages, and one deadly message amid them."""
    log = MemoryLog(2, lambda: T0_US)
    for i in range(EVENTS // 2):
        for source in ("s1", "s4"):
            fill(log, [record([(i - 600, "h", i)], i, source=source)])
        if i == 5:
            fill(log, [raw_record(b"deadly", 0, source="s9")])
    return log


def parse_or_die(run: Run) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Read as the other tests do, but for what no process survives."""
    if any(b"deadly" in message.value for message in run):
        os._exit(7)
    yield from parse_json(run)


def main(folder: Path, poll_rows: int) -> None:
    """Live once."""
    home = replace(house(), parse=parse_or_die)
    ledger, attempts = KeptLedger(folder / "ledger"), Attempts(folder / FILE)
    flow = Flow(home, Settings(), filled(), ledger, poll_rows=poll_rows, attempts=attempts)
    loop.run(flow, once=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
