"""Measure the live ring on loopback: kernel drops and CPU at rising rates of a compiled sender.

    python -m benchmarks.live [--rates 25000,50000,75000] [--seconds 5] [--bytes 400]

The sensor (flows and every protocol) is pinned to one core, the sender to the others. The raw limit
beside it is the same ring with nobody looking at the packets. Needs Linux, CAP_NET_RAW and cc.
"""

import argparse
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipelines.network.ring import Ring
from pipelines.network.sensor import watch_blocks

SENDER: Final = Path(__file__).parents[1] / "tests" / "pipelines" / "loopback_sender.c"
LINGER_S: Final = 0.5


Look = Callable[[Ring, Callable[[], bool]], None]


def run(send: Path, rate: int, seconds: int, size: int, look: Look) -> str:
    """Send at a rate while the ring is read; give one line of figures."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker, Ring("lo") as ring:
        # Somebody must listen, or each datagram is answered by an ICMP message.
        taker.bind(("127.0.0.1", 0))
        port = taker.getsockname()[1]
        others = ",".join(str(core) for core in range(1, os.cpu_count() or 1)) or "0"
        numbers = map(str, (port, rate * seconds, rate, size))
        command = ["taskset", "-c", others, str(send), *numbers]
        told: list[str] = []

        def send_all() -> None:
            told.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        thread = threading.Thread(target=send_all)
        ended_s: list[float] = []

        def until() -> bool:
            if not thread.is_alive() and not ended_s:
                ended_s.append(time.monotonic() + LINGER_S)
            return bool(ended_s) and time.monotonic() > ended_s[0]

        before_s = time.process_time()
        thread.start()
        look(ring, until)
        used_s = time.process_time() - before_s
        ring.count()
        thread.join()
    sent, spent_s = told[0].split()
    return (
        f"asked {rate:7,}/s  sent {int(sent) / float(spent_s):9,.0f}/s  "
        f"ring {ring.packets:9,} packets  "
        f"drops {ring.drops:7,}  {ring.packets / used_s:10,.0f} packets/CPU-s"
    )


def sense(ring: Ring, until: Callable[[], bool]) -> None:
    """Do what the sensor does."""
    for _ in watch_blocks(ring.blocks(until)):
        pass


def pass_by(ring: Ring, until: Callable[[], bool]) -> None:
    """Only take the blocks."""
    for _ in ring.blocks(until):
        pass


def main() -> None:
    """Try the rates, the sensor beside the bare ring."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rates", default="25000,50000,75000")
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--bytes", type=int, default=400)
    given = arguments.parse_args()
    os.sched_setaffinity(0, {0})
    with tempfile.TemporaryDirectory() as folder:
        send = Path(folder) / "send"
        subprocess.run(["cc", "-O2", "-o", str(send), str(SENDER)], check=True)
        for rate in map(int, given.rates.split(",")):
            for name, look in (("ring", pass_by), ("sensor", sense)):
                print(f"{name:7} {run(send, rate, given.seconds, given.bytes, look)}", flush=True)


if __name__ == "__main__":
    main()
