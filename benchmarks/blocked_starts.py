"""Measure what blocking a program costs: other starts, refusals, the look for copies.

    python -m benchmarks.blocked_starts [--starts 400] [--look-s 20]

Peer: the same starts of the same program with nothing blocked. The agent is a process of its own.
Starts are by `posix_spawn`, in turn; each figure is the median of them.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_AGENT = """
import sys, threading, time
from pathlib import Path
from agent.act import Host, _copies, block_hash
from agent.orders import Orders
if sys.argv[3] == "quiet":
    _copies.FOLDERS = ()
orders = Orders(Path(sys.argv[1]) / "orders.sqlite")
host = Host(Path(sys.argv[1]), orders, list, frozenset, time.time)
if sys.argv[2]:
    block_hash.do("a", {"sha256": sys.argv[2], "minutes": 60}, host)
print("ready", flush=True)
while True:
    time.sleep(1)
    block_hash.put(orders.held(), host)
    while host.news:
        print(host.news.popleft(), flush=True)
"""


def start_us(program: Path, count: int) -> float:
    """Give the median of microseconds from the start of a program to its end, or its refusal."""
    found = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        try:
            pid = os.posix_spawn(program, [str(program)], {})
            os.waitpid(pid, 0)
        except PermissionError:
            pass
        found.append((time.perf_counter_ns() - began_ns) / 1000)
    return statistics.median(found)


def agent_of(folder: Path, sha256: str, how: str) -> "subprocess.Popen[str]":
    """Start an agent's responding half that blocks this hash."""
    words = [sys.executable, "-c", _AGENT, str(folder), sha256, how]
    made = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def blocked(program: Path) -> str:
    """Give the program's hash."""
    words = ["sha256sum", str(program)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[0]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=400)
    parser.add_argument("--look-s", type=float, default=20.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/cache") as made:
        folder = Path(made)
        other, bad = folder / "other", folder / "bad"
        for path in (other, bad):
            shutil.copy2("/bin/true", path)
        with bad.open("ab") as file:
            file.write(os.urandom(16))
        without = start_us(other, given.starts)
        agent = agent_of(folder, blocked(bad), "quiet")
        try:
            start_us(bad, 1)
            time.sleep(0.2)
            beside, refused = start_us(other, given.starts), start_us(bad, given.starts)
            memory = psutil.Process(agent.pid).memory_info().rss / 2**20
        finally:
            agent.kill()
            agent.wait()
        print(f"start of another program: {without:.0f} us; with a block {beside:.0f} us")
        print(f"ratio {beside / without:.2f}; a refused start {refused:.0f} us; {memory:.1f} MiB")
        (folder / "orders.sqlite").unlink()
        look(folder, blocked(bad), given.look_s, memory)


def look(folder: Path, sha256: str, most_s: float, memory: float) -> None:
    """Have the usual folders looked through, and say what that costs."""
    agent = agent_of(folder, sha256, "looks")
    try:
        seen = psutil.Process(agent.pid)
        began_s, before = time.monotonic(), sum(seen.cpu_times()[:2])
        time.sleep(most_s)
        share = (sum(seen.cpu_times()[:2]) - before) / (time.monotonic() - began_s)
        now = seen.memory_info().rss / 2**20
        print(f"a look for copies: {100 * share:.1f} % of a core, {now - memory:+.1f} MiB")
    finally:
        agent.kill()
        agent.wait()


if __name__ == "__main__":
    main()
