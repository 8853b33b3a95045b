"""Measure how soon an agent does what the house says, and what its beat costs both.

    python -m benchmarks.response [--rounds 5] [--requests 200]

A real house and a real agent in three processes, as its units run them, on loopback. Policy: from
the PUT to the moment the house knows that the agent runs it. Action: from the POST of a live query
to its rows. Both wait for a beat (5 s in this run) at most, and for the round of work. Then each
part's memory and share of a core at rest, and CPU-milliseconds of the house's api for a beat,
against a batch of one row over the same kind of connection.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from agent.identity import load
from agent.ship import Sender, Server
from benchmarks.enrolment import BIN, House, _until, cost

HALVES: Final = ("ship", "look", "respond")
REST_S: Final = 30.0


def started(house: House, name: str) -> tuple[str, dict[str, subprocess.Popen[bytes]]]:
    """Enrol a host and start its three parts; give the agent's id and the processes."""
    made = house.ask("/v1/agents/tokens", {"host": name})
    data = house.folder / name
    agent = [str(BIN / "inopsio-agent"), "--data", str(data)]
    words = ["enroll", "--url", f"https://127.0.0.1:{made['port']}", "--token", made["token"]]
    words += ["--ca-fingerprint", made["ca_fingerprint"]]
    subprocess.run([*agent, *words], check=True, capture_output=True)
    identity = load(data)
    assert identity is not None
    running = {
        half: subprocess.Popen([*agent, "run", "--only", half], stderr=subprocess.DEVNULL)
        for half in HALVES
    }
    return identity.agent_id, running


def policy(house: House, agent_id: str, number: int) -> float:
    """Give seconds from a new policy to the house's knowing that it runs."""
    began = time.monotonic()
    document = {"beat_s": 5, "spool_mb": 100 + number}
    wanted = house.ask("/v1/agent-policy", {"document": document}, "PUT")["version"]
    return _until(lambda: _row(house, agent_id)["policy_version"] == wanted) - began


def _row(house: House, agent_id: str) -> dict[str, object]:
    found: list[dict[str, object]] = house.ask("/v1/agents")["items"]
    return next(a for a in found if a["agent_id"] == agent_id)


def action(house: House, agent_id: str) -> float:
    """Give seconds from asking for a table to its rows."""
    began = time.monotonic()
    told = {"kind": "query", "arguments": {"table": "users"}, "note": "measured"}
    made = house.ask(f"/v1/agents/{agent_id}/actions", told)
    place = f"/v1/agent-actions/{made['action_id']}"
    return _until(lambda: house.ask(place)["state"] == "done") - began


def beat_cost(house: House, server: Server, requests: int) -> float:
    """Give CPU-milliseconds of the api for a beat over one connection."""
    sender, api = Sender(server, "2" * 32, "bench"), house.api()
    body = json.dumps({"policy_version": 10**6, "response": ["query"]}).encode()
    before = sum(api.cpu_times()[:2])
    for _ in range(requests):
        status, text = sender.say("/v1/agents/beat", body)
        assert status == 200, text
    return 1000 * (sum(api.cpu_times()[:2]) - before) / requests


def main() -> None:
    """Print the delays, the parts' costs and the price of a beat."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-response-"))
    house, running = House(folder), dict[str, subprocess.Popen[bytes]]()
    try:
        agent_id, running = started(house, "host-1")
        _until(lambda: _row(house, agent_id)["beat_at"] is not None)
        for what, found in (
            ("policy to applied", [policy(house, agent_id, n) for n in range(given.rounds)]),
            ("question to answer", [action(house, agent_id) for _ in range(given.rounds)]),
        ):
            print(f"{what:20} median {statistics.median(found):.1f} s, worst {max(found):.1f} s")
        parts = {half: psutil.Process(one.pid) for half, one in running.items()}
        before = {half: sum(p.cpu_times()[:2]) for half, p in parts.items()}
        time.sleep(REST_S)
        for half, process in parts.items():
            share = (sum(process.cpu_times()[:2]) - before[half]) / REST_S
            memory = process.memory_full_info()
            size, own = memory.rss / (1 << 20), memory.pss / (1 << 20)
            print(f"{half:20} {share:6.2%} of a core, {size:.0f} MiB resident, {own:.0f} its share")
        for one in running.values():
            one.terminate()
            one.wait()
        identity = load(folder / "host-1")
        assert identity is not None
        server = Server(identity.url, identity=identity)
        dear, plain = beat_cost(house, server, given.requests), cost(house, server, given.requests)
        print(f"api, CPU-ms: a beat {dear:.2f}, a batch of one row {plain:.2f}: {dear / plain:.2f}")
    finally:
        for one in running.values():
            one.kill()
        house.down()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
