"""Run the agent's looking half through a day whose clock is driven faster; see whether it grows.

    .venv/bin/python -m benchmarks.agent_day [--hours 24] [--per-s 5] [--most-mb 5]

What is real: the loop and its rounds (two a simulated second), the tasks at their own pauses, the
spool on disk, the process table and the connections' memory, log lines through the follower. What
is made: processes that start and end, connections that open and close, changed files, at `--per-s`
each; a server that takes every batch at once. The kernel's sources and TLS are not in it. Growth
is from the end of the first hour, when caches are warm. Exits 1 over `--most-mb`.
"""

import argparse
import gc
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import agent.run
from agent.collect import Out
from agent.collect.linux import _table, connections
from agent.collect.linux._kernel import Exec, Exit
from agent.collect.linux._sockdiag import SIZE, Raw
from agent.deliver import ship_all
from agent.run import Loop
from agent.spool import Batch, Spool
from agent.system import resident_bytes

_ESTABLISHED = 1


class _Clock:
    """Stand for the time module in the agent's loop: a second is what the benchmark says."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def monotonic(self) -> float:
        return self.now_s


class _Server:
    """Take every batch."""

    skew_s = None

    def __init__(self) -> None:
        self.rows = 0

    def send(self, batch: Batch) -> None:
        self.rows += len(batch.rows)


class _Life:
    """What happens on a host: so many processes, connections and lines a second."""

    def __init__(self, per_s: int, log: Path) -> None:
        self._per_s, self._log = per_s, log
        self._table, self._known = _table.Table(set()), connections.Known({})
        self._pid, self._port = 10_000_000, 0
        self._open: list[Raw] = []

    def second(self, out: dict[str, Out], at_us: int) -> None:
        """Put a second's worth into the watchers' hands."""
        events = []
        for _ in range(self._per_s):
            self._pid += 1
            events.append(self._table.started(self._exec(at_us), "made"))
            ended = self._table.ended(Exit(self._pid, at_us, 0))
            if ended is not None:
                events.append(ended)
        out["processes"].put(events)
        for _ in range(self._per_s):
            self._port += 1
            self._open.append(self._sock())
        self._open = self._open[-5 * self._per_s :]
        out["connections"].put(self._known.compare(self._open, [], at_us))
        with self._log.open("a") as log:
            log.writelines(f"Nov 30 12:00:00 ws sshd[{self._pid}]: line {n}\n" for n in range(3))
        if self._log.stat().st_size > 1 << 20:
            self._log.replace(self._log.with_suffix(".log.1"))
            self._log.touch()

    def _exec(self, at_us: int) -> Exec:
        words = f"/usr/bin/made\0--number={self._pid}".encode()
        return Exec(self._pid, at_us, 1, self._pid, words, len(words), called="/bin/true")

    def _sock(self) -> Raw:
        ports = (40_000).to_bytes(2, "big") + (443).to_bytes(2, "big")
        there = bytes([10]) + self._port.to_bytes(3, "big") + bytes(12)
        here = bytes([10, 0, 0, 1]) + bytes(12)
        body = bytes([socket.AF_INET, _ESTABLISHED, 0, 0]) + ports + here + there + bytes(4)
        return "tcp", (body + self._port.to_bytes(8, "little")).ljust(SIZE, b"\0")


def day(given: argparse.Namespace, folder: Path) -> tuple[float, float, int]:
    """Live through it; give the memory after the first hour and at the end (MB), and the rows."""
    clock, server = _Clock(), _Server()
    setattr(agent.run, "time", clock)  # noqa: B010  the loop's clock, driven
    spool, log = Spool(folder / "spool.sqlite"), folder / "made.log"
    log.touch()
    loop = Loop(spool, [(log, "syslog")], {"off": given.off}, threading.Event())
    outs = {one.name: one.out for one in loop._watchers}
    life = _Life(given.per_s, log)
    first_mb = 0.0
    for second in range(int(given.hours * 3600)):
        at_us = 1_800_000_000_000_000 + second * 1_000_000
        life.second(outs, at_us)
        for _ in range(2):
            clock.now_s += 0.5
            loop.round()
        ship_all(spool, server)
        if second % 3600 == 3599:
            gc.collect()
            now_mb = resident_bytes() / 2**20
            first_mb = first_mb or now_mb
            print(f"hour {second // 3600 + 1:2}: {now_mb:.1f} MB, {server.rows} rows", flush=True)
    spool.close()
    return first_mb, resident_bytes() / 2**20, server.rows


def main() -> int:
    """Measure; give 1 if the bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--per-s", type=int, default=5)
    parser.add_argument("--most-mb", type=float, default=5)
    parser.add_argument("--off", nargs="*", default=[])
    given = parser.parse_args()
    began_s, used_s = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        first_mb, last_mb, rows = day(given, Path(folder))
    lasted_s, used_s = time.monotonic() - began_s, time.process_time() - used_s
    grown_mb = last_mb - first_mb
    print(
        f"{given.hours:g} simulated hours in {lasted_s:.0f} s ({used_s:.0f} s of processor), "
        f"{rows} rows: {first_mb:.1f} MB after the first hour, {last_mb:.1f} MB at the end, "
        f"grown by {grown_mb:.1f} MB"
    )
    return 0 if grown_mb <= given.most_mb else 1


if __name__ == "__main__":
    sys.exit(main())
