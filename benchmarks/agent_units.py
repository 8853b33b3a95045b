"""Measure what all units of the installed package cost together, on a machine of its own.

    python -m benchmarks.agent_units [--rest-s 60] [--settle-s 90]

The package is built, installed and enrolled on a Debian that runs systemd (systemd-nspawn), before
a real house at the far end of a cable; 150 processes there. One question is asked first, so the
unit that responds has run and has ended again. Then every second: each process of each unit, its
share of memory (PSS: pages of several processes count in parts), what is resident (RSS) and CPU
time. Peer in the same run: systemd's own journald. Bars: 40 MB by shares, 1 % of a core.

eBPF is told of the whole kernel, so what else this computer starts is paid for too.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.enrolment import House, _until
from tests.agent.live_machine import HOUSE, Machine, machine
from tests.agent.packages import packages

PROCESSES: Final = 150
MOST_MB, MOST_SHARE = 40.0, 0.01
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Held(NamedTuple):
    """What a unit's processes hold at one moment: kB by shares, kB resident, CPU ticks ever."""

    pss: int = 0
    rss: int = 0
    ticks: int = 0

    def plus(self, other: "Held") -> "Held":
        """Give both together."""
        return Held(self.pss + other.pss, self.rss + other.rss, self.ticks + other.ticks)


def relay(ear: socket.socket, port: int) -> None:
    """Hand connections at the far end on to this computer's loopback, until the end."""
    while True:
        near, _ = ear.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pour, args=(one, other), daemon=True).start()


def _pour(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def of_units(on: Machine) -> dict[str, Held]:
    """Give what the processes of each unit of the machine hold now."""
    found: dict[str, Held] = {}
    space = Path(f"/proc/{on.init}/ns/pid").readlink()
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):  # gone meanwhile
            if place.name.isdigit() and (place / "ns/pid").readlink() == space:
                unit = (place / "cgroup").read_text().strip().rpartition("/")[2]
                found[unit] = found.get(unit, Held()).plus(_held(place))
    return found


def _held(place: Path) -> Held:
    rows = (line.split() for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    sizes = {row[0]: int(row[1]) for row in rows}
    # What it used itself, and its children that have ended.
    used = (place / "stat").read_text().rpartition(")")[2].split()[11:15]
    return Held(sizes["Pss:"], sizes["Rss:"], sum(map(int, used)))


def installed(on: Machine, house: House) -> str:
    """Install and enrol as an administrator does; give the agent's id."""
    made = house.ask("/v1/agents/tokens", {"host": "host-1"})
    ear = on.listen(HOUSE)
    threading.Thread(target=relay, args=(ear, int(made["port"])), daemon=True).start()
    shutil.copy(packages().deb, on.root / "root/agent.deb")
    on.done("apt-get", "install", "-qq", "-y", "/root/agent.deb")
    url = f"https://{HOUSE}:{ear.getsockname()[1]}"
    words = f"--url {url} --token {made['token']} --ca-fingerprint {made['ca_fingerprint']}"
    on.done("sh", "-c", f"inopsio-agent enroll {words} && inopsio-agent install")
    (row,) = house.ask("/v1/agents")["items"]
    return str(row["agent_id"])


def asked(house: House, agent_id: str) -> float:
    """Ask a question; give the seconds to its answer. The unit that responds does not run yet."""
    began_s = time.monotonic()
    told = {"kind": "query", "arguments": {"table": "users"}, "note": "measured"}
    made = house.ask(f"/v1/agents/{agent_id}/actions", told)
    return _until(lambda: _state(house, made) == "done") - began_s


def _state(house: House, made: dict[str, Any]) -> str:
    return str(house.ask(f"/v1/agent-actions/{made['action_id']}")["state"])


def watched(on: Machine, seconds: float) -> Iterator[dict[str, Held]]:
    """Give what units hold, once a second."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        yield of_units(on)
        time.sleep(1.0)


def _together(seen: dict[str, Held]) -> Held:
    total = Held()
    for unit, held in seen.items():
        if unit.startswith("inopsio-agent"):
            total = total.plus(held)
    return total


def measure(on: Machine, given: argparse.Namespace, agent_id: str, house: House) -> list[str]:
    """Print what was measured; give the bars that were missed."""
    on.done("sh", "-c", f"for n in $(seq {PROCESSES}); do sleep 3600 & done >/dev/null 2>&1")
    print(f"question to answer, the unit that responds at rest: {asked(house, agent_id):.1f} s")
    early = [_together(seen) for seen in watched(on, given.settle_s)]
    began_s, first = time.monotonic(), of_units(on)
    late = list(watched(on, given.rest_s))
    last, lasted_s = of_units(on), time.monotonic() - began_s
    count = int(on.done("sh", "-c", "ls -d /proc/[0-9]* | wc -l"))
    print(
        f"{count} processes on the machine, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    for unit in sorted(u for u in last if u.startswith(("inopsio-agent", "systemd-journald"))):
        held, before = last[unit], first.get(unit, Held())
        share = (held.ticks - before.ticks) / _TICKS / lasted_s
        print(
            f"{unit:32} {held.pss / 1024:5.1f} MB its share, {held.rss / 1024:5.1f} MB resident, "
            f"{share:6.2%} of a core"
        )
    rest = [_together(seen) for seen in late]
    share = (rest[-1].ticks - rest[0].ticks) / _TICKS / lasted_s
    most, mean = (
        max(one.pss for one in rest) / 1024,
        sum(one.pss for one in rest) / len(rest) / 1024,
    )
    peer = last["systemd-journald.service"].pss / 1024
    print(
        f"all units together at rest over {lasted_s:.0f} s: {mean:.1f} MB by shares, {most:.1f} at "
        f"most, {max(one.rss for one in rest) / 1024:.1f} MB resident, {share:.2%} of a core; "
        f"while it answered: {max(one.pss for one in early) / 1024:.1f} MB at most; "
        f"journald in the same run: {peer:.1f} MB, ratio {mean / peer:.1f}"
    )
    (told,) = [json.loads(line) for line in on.done("inopsio-agent", "status").splitlines()]
    print(f"events waiting {told['waiting']}, sent {told['sent']}, dropped {told['dropped']}")
    return [
        text
        for text, is_met in (
            (f"{MOST_MB:g} MB for all units", most <= MOST_MB),
            ("1 % of a core for all units", share <= MOST_SHARE),
        )
        if not is_met
    ]


def main() -> int:
    """Measure the units; give 1 if a bar is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settle-s", type=float, default=90)
    parser.add_argument("--rest-s", type=float, default=60)
    given, _ = parser.parse_known_args()  # `benchmarks.agent --units` has words of its own
    if os.geteuid() != 0:
        print("not measured: a machine of its own is for root")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="inopsio-units-"))
    house = House(folder)
    try:
        with machine(folder) as on:
            missed = measure(on, given, installed(on, house), house)
    finally:
        house.down()
        shutil.rmtree(folder, ignore_errors=True)
    print("bars missed: " + (", ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
