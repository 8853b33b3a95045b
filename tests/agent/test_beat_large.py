"""Tell a real house more and larger results than fit into one beat; give it the largest policy."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agent.orders import MOST_BYTES, Result
from agent.policy import Follower
from api import agent_policy
from api.agent_actions import action_of, ask
from api.agent_policy import read_document, set_policy
from api.door import LARGEST_BODY
from storage.errors import InvalidInput
from tests.agent.ordered_house import ANN, Agent

MOST = 25


def _rows(size: int) -> list[dict[str, Any]]:
    row = {"name": "é" * 80}
    return [row] * (size // (len(json.dumps(row)) + 2))


def test_many_large_results_all_come_each_in_a_beat_that_the_house_takes(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    asked = [
        ask(database, ANN, agent.id, "query", {"table": "users"}, now, note="all at once")
        for _ in range(MOST)
    ]
    while len(agent.orders.waiting()) < min(16, MOST) and agent.beat.beat(agent.now_s()):
        pass
    sizes, say = list[int](), agent.beat._sender.say

    def heard(path: str, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
        sizes.append(len(body))
        return say(path, body, kind)

    monkeypatch.setattr(agent.beat._sender, "say", heard)
    end_s = time.monotonic() + 60
    while any(action_of(database, ANN, a["action_id"])["state"] != "done" for a in asked):
        assert time.monotonic() < end_s
        for id_, _ in agent.orders.waiting():
            agent.orders.begin(id_)
            agent.orders.end(Result(id_, "done", {"rows": _rows(MOST_BYTES - 100)}))
        agent.beat.beat(agent.now_s())
    kept = [action_of(database, ANN, a["action_id"])["result"]["rows"] for a in asked]
    assert {len(rows) for rows in kept} == {len(_rows(MOST_BYTES - 100))}
    assert LARGEST_BODY > max(sizes) > 1.9 * MOST_BYTES
    assert agent.orders.untold() == []


def _largest(path: str, count: int) -> dict[str, Any]:
    return {"watch_paths": [f"/{number:03}{path}" for number in range(count)]}


def test_the_largest_policy_that_the_house_takes_an_agent_runs(agent: Agent) -> None:
    told, count = "é" * 250, 0
    for count in range(1, 201):
        size = len(json.dumps(json.dumps({"watch_paths": _largest(told, count)["watch_paths"]})))
        if size > agent_policy.MOST_BYTES - 3000:
            break
    made = set_policy(
        agent.house.database, ANN, read_document(_largest(told, count)), agent.house.desk.now()
    )
    agent.turn()
    assert Follower(Path(agent.identity.folder)).policy.version == made.version
    with pytest.raises(InvalidInput, match="bytes as agents are told it"):
        read_document(_largest(told, 200))
