"""Measure the embedded log against a bare file with fdatasync, in one run on one disk.

Run: `.venv/bin/python -m benchmarks.log [--seconds 3] [--dir DIR]`. Records of 400 bytes; batches
of 1, 100 and 1,000 by one thread, then single records by 16 threads (group commit), then a read
forward. The bare file appends length + CRC-32 + bytes and syncs once a batch: the least that a
durable log can do. Ratio = log's messages a second : the bare file's.
"""

import argparse
import os
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from storage.log import Record
from storage.log.sqlite import SqliteLog

_VALUE = os.urandom(400)


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold one run: messages, wall seconds, CPU seconds of this process."""

    messages: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Give messages a second."""
        return self.messages / self.wall_s

    @property
    def cpu_rate(self) -> float:
        """Give messages a CPU second."""
        return self.messages / max(self.cpu_s, 1e-9)


def measure(step: Callable[[], int], seconds: float) -> Measured:
    """Repeat the step for so long; it gives how many messages it did, 0 to end early."""
    wall, cpu, messages = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds and (done := step()):
        messages += done
    return Measured(messages, time.perf_counter() - wall, time.process_time() - cpu)


def bare_file(path: Path, batch: int, seconds: float) -> Measured:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def step() -> int:
        frames = []
        for _ in range(batch):
            frames.append(struct.pack("<II", len(_VALUE), zlib.crc32(_VALUE)))
            frames.append(_VALUE)
        os.write(file, b"".join(frames))
        os.fdatasync(file)
        return batch

    try:
        return measure(step, seconds)
    finally:
        os.close(file)


def appended(log: SqliteLog, batch: int, seconds: float) -> Measured:
    records = [
        Record(f"acme/host-{n % 50}".encode(), _VALUE, {"tenant": "acme"}) for n in range(batch)
    ]
    return measure(lambda: len(log.append("raw.bench", records)), seconds)


def threaded(log: SqliteLog, threads: int, seconds: float) -> Measured:
    record = [Record(b"acme/host-7", _VALUE, {"tenant": "acme"})]
    counts: list[int] = []

    def work() -> None:
        counts.append(measure(lambda: len(log.append("raw.bench", record)), seconds).messages)

    running = [threading.Thread(target=work) for _ in range(threads)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Measured(sum(counts), time.perf_counter() - wall, time.process_time() - cpu)


def read_forward(log: SqliteLog, seconds: float) -> Measured:
    places = [0] * log.partitions("raw.bench")

    def step() -> int:
        for partition, offset in enumerate(places):
            if messages := log.read("raw.bench", partition, offset):
                places[partition] = messages[-1].offset + 1
                return len(messages)
        return 0

    return measure(step, seconds)


def show(name: str, log: Measured, bare: Measured | None = None) -> None:
    line = f"{name:<26}{log.rate:>12,.0f}{log.cpu_s:>9.2f}{log.cpu_rate:>14,.0f}"
    if bare:
        line += f"{bare.rate:>14,.0f}{bare.cpu_s:>9.2f}"
        line += f"{log.rate / bare.rate:>9.2f}{log.cpu_rate / bare.cpu_rate:>9.2f}"
    print(line)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--dir", type=Path, default=None, help="folder on the disk to measure")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        path = Path(folder)
        print(f"{os.cpu_count()} CPUs; {given.seconds:g} s a line; 400-byte records")
        print(
            f"{'log':<26}{'msgs/s':>12}{'CPU-s':>9}{'msgs/CPU-s':>14}"
            f"{'bare msgs/s':>14}{'CPU-s':>9}{'ratio':>9}{'by CPU':>9}"
        )
        with closing(SqliteLog(path / "log.sqlite")) as log:
            for batch in (1, 100, 1000):
                bare = bare_file(path / f"bare-{batch}", batch, given.seconds)
                show(f"append, batches of {batch}", appended(log, batch, given.seconds), bare)
            bare = bare_file(path / "bare", 1, given.seconds)
            show("append 1, 16 threads", threaded(log, 16, given.seconds), bare)
            show("read by 1000", read_forward(log, given.seconds))


if __name__ == "__main__":
    main()
