"""Measure how long a host takes from its command to its first event in the house, as agents do.

    python -m benchmarks.enrolment [--hosts 3] [--requests 300] [--package FILE.deb]

A real house (`inopsio up`) in a folder of its own. The token comes from the API, as the page gets
it; the clock runs from the start of `inopsio-agent enroll ... && inopsio-agent run` to the moment
the agents' list shows the host as seen, and to its first event stored. Peer: the same
agent with a ready token on the console's port, which needs no enrolment.

With a package also from the line that is pasted on a system without the agent (this one, in a
namespace whose changes are forgotten; needs root) to the first event.

Then the price of a certificate: `--requests` batches of one row over mutual TLS, a connection each,
against as many with a token over the plain port, in CPU-seconds of the house's api. Then how soon a
revocation counts.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from agent.errors import AgentError
from agent.identity import load
from agent.ship import Sender, Server
from agent.spool import Batch
from tests.agent.clean_root import throw_away

BIN: Final = Path(sys.executable).parent
WAIT_S: Final = 180.0
RUN_S: Final = 30


class House:
    """A house of its own, and an administrator's way in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, _free_port()
        words = ["up", "--data", str(folder / "house"), "--port", str(self.port), "--detach"]
        subprocess.run([BIN / "inopsio", *words], check=True, capture_output=True)
        self.admin, self.ingest = self._token("admin"), self._token("ingest")

    def _token(self, role: str) -> str:
        words = ["token", "create", role, "--tenant", "main", "--role", role, "--json"]
        made = subprocess.run(
            [BIN / "inopsio", *words, "--data", str(self.folder / "house")],
            check=True,
            capture_output=True,
        )
        return str(json.loads(made.stdout)["token"])

    def ask(self, path: str, told: dict[str, Any] | None = None, method: str = "") -> Any:  # noqa: ANN401  JSON
        """Ask the API as the administrator."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if told is None else json.dumps(told).encode(),
            headers={"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"},
            method=method or ("GET" if told is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own house
            text = answer.read()
        return json.loads(text) if text else None

    def api(self) -> psutil.Process:
        """Give the process of both doors."""
        told = json.loads((self.folder / "house" / "up.json").read_text())
        return psutil.Process(int(told["children"]["api"]))

    def down(self) -> None:
        """Stop the house."""
        words = ["down", "--data", str(self.folder / "house")]
        subprocess.run([BIN / "inopsio", *words], check=False, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(is_so: Callable[[], Any]) -> float:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if is_so():
            return time.monotonic()
        time.sleep(0.2)
    raise SystemExit("it did not come in time")


def _sources(house: House) -> set[str]:
    """Give the origins that have an event in the ledger: counted where the event is stored."""
    found = house.ask("/v1/sources?limit=100")["items"]
    return {str(s["source"]) for s in found if s["events"]}


def _seen(house: House) -> dict[str, str | None]:
    """Give agent -> when it was last seen."""
    return {a["agent_id"]: a["seen_at"] for a in house.ask("/v1/agents")["items"]}


def enrolled(house: House, name: str) -> tuple[float, float, float]:
    """Give seconds from the command to: enrolled, seen, first event."""
    made = house.ask("/v1/agents/tokens", {"host": name})
    data = house.folder / name
    agent = [str(BIN / "inopsio-agent"), "--data", str(data)]
    url = f"https://127.0.0.1:{made['port']}"
    before, last = _sources(house), _seen(house)
    words = ["enroll", "--url", url, "--token", made["token"]]
    began = time.monotonic()
    subprocess.run(
        [*agent, *words, "--ca-fingerprint", made["ca_fingerprint"]],
        check=True,
        capture_output=True,
    )
    papers = time.monotonic()
    running = subprocess.Popen([*agent, "run"], stderr=subprocess.DEVNULL)
    try:
        identity = load(data)
        assert identity is not None
        who = identity.agent_id
        seen = _until(lambda: _seen(house).get(who) not in {None, last.get(who)})
        there = _until(lambda: any(s.startswith(f"agent:{who}") for s in _sources(house) - before))
    finally:
        running.terminate()
        running.wait()
    return papers - began, seen - began, there - began


def pasted(house: House, package: Path) -> tuple[float, float]:
    """Give seconds from the pasted line, on a system without the agent, to: seen, first event."""
    own = ["--data", str(house.folder / "house")]
    subprocess.run([BIN / "inopsio", "agent", "package", "add", package, *own], check=True)
    words = ["agent", "let-in", "fresh", "--tenant", "main", "--json"]
    made = subprocess.run([BIN / "inopsio", *words, *own], check=True, capture_output=True)
    line = json.loads(made.stdout)["command"]
    place = house.folder / "over"
    place.mkdir()
    before, last = _sources(house), _seen(house)
    script = f"{line}; timeout {RUN_S} inopsio-agent run || true"
    began = time.monotonic()
    host = threading.Thread(target=throw_away, args=(place, script))
    host.start()
    try:
        seen = _until(lambda: any(at and last.get(who) != at for who, at in _seen(house).items()))
        there = _until(lambda: _sources(house) - before)
    finally:
        host.join()
    return seen - began, there - began


def by_token(house: House, name: str) -> float:
    """Give seconds from the command to the first event, with a token that was there before."""
    data, file = house.folder / name, house.folder / f"{name}.token"
    file.write_text(house.ingest)
    before = _sources(house)
    words = ["--data", str(data), "run", "--url", f"http://127.0.0.1:{house.port}"]
    began = time.monotonic()
    running = subprocess.Popen(
        [str(BIN / "inopsio-agent"), *words, "--token-file", str(file)], stderr=subprocess.DEVNULL
    )
    try:
        return _until(lambda: _sources(house) - before) - began
    finally:
        running.terminate()
        running.wait()


def cost(house: House, server: Server, requests: int) -> float:
    """Give CPU-milliseconds of the api for a batch of one row over one connection."""
    row = b'{"time":1795000000000,"class_uid":1007,"activity_id":1}'
    sender, api = Sender(server, "0" * 32, "bench"), house.api()
    before = sum(api.cpu_times()[:2])
    for n in range(requests):
        sender.send(Batch("bench", "ocsf_json", n, [row]))
    return 1000 * (sum(api.cpu_times()[:2]) - before) / requests


def revoked(house: House, server: Server) -> float:
    """Give seconds from the revocation to the first refusal."""
    assert server.identity is not None
    house.ask(f"/v1/agents/{server.identity.agent_id}", method="DELETE")
    sender, began = Sender(server, "1" * 32, "bench"), time.monotonic()
    try:
        sender.send(Batch("b", "ocsf_json", 0, [b"{}"]))
    except AgentError:
        return time.monotonic() - began
    raise SystemExit("a revoked agent was let in")


def main() -> None:
    """Print seconds to the first event, the price of a certificate, the delay of a revocation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--package", type=Path, help="a .deb to bring along by the pasted line")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-enrolment-"))
    house = House(folder)
    try:
        peer = [by_token(house, f"token-{n}") for n in range(given.hosts)]
        if given.package:
            seen_s, there_s = pasted(house, given.package)
            print(f"pasted on a bare host: seen {seen_s:.1f} s, first event {there_s:.1f} s")
        found = [enrolled(house, f"host-{n}") for n in range(given.hosts)]
        for what, at in (("enrolled", 0), ("seen by the house", 1), ("first event", 2)):
            print(f"{what:24} {'  '.join(f'{row[at]:6.1f} s' for row in found)}")
        print(f"{'first event, by token':24} {'  '.join(f'{s:6.1f} s' for s in peer)}")
        print(f"worst first event / worst by token: {max(r[2] for r in found) / max(peer):.2f}")
        print(f"agents after {given.hosts} enrolments of this machine: {len(_seen(house))}")
        identity = load(folder / f"host-{given.hosts - 1}")
        assert identity is not None
        papers = Server(identity.url, identity=identity)
        token = Server(f"http://127.0.0.1:{house.port}", house.ingest)
        dear, plain = (cost(house, s, given.requests) for s in (papers, token))
        print(
            f"api, CPU-ms a request: certificate {dear:.2f}, token {plain:.2f}: {dear / plain:.2f}"
        )
        print(f"api, resident: {house.api().memory_info().rss / (1 << 20):.0f} MiB")
        print(f"revocation to refusal: {revoked(house, papers):.2f} s")
    finally:
        house.down()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
