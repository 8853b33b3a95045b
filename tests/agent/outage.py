"""Take the server away and give it back, in compressed time, against the real front door."""

import json
import random

import pytest

from agent import deliver
from agent.errors import AgentError, Away
from agent.run import agent_id
from agent.ship import Sender, Server
from agent.spool import Batch, Spool
from tests.agent.door import Door

STEP_S = 0.5
PER_S = 500
BATCHES_A_STEP = 4
"""What the server takes in half a second: 16,000 rows a second at most."""


class _Enough(AgentError):
    """The server has had its share of this step."""


class _Road:
    """The way to the server: a share a step, and now and then an answer gets lost."""

    skew_s: float | None = None

    def __init__(self, sender: Sender, hour: "_Hour") -> None:
        self._sender, self._hour = sender, hour
        self.back_at = hour.step + 1  # the second lane is opened by the first answer
        self.longest_wait = 0
        """Most steps that a row made after the return has waited."""
        self.left, self.sent, self.lost_answers = 0, 0, 0

    def send(self, batch: Batch) -> None:
        if self.left <= 0:
            raise _Enough("enough")
        self.left -= 1
        self._sender.send(batch)
        self.sent += 1
        made = [int(json.loads(row)["message"].split(" ")[1]) for row in batch.rows]
        waits = [self._hour.step - step for step in made if step > self.back_at]
        self.longest_wait = max(self.longest_wait, *waits, 0)
        if self.sent % 7 == 0:
            self.lost_answers += 1
            raise Away("the answer got lost")


class _Hour:
    """Events as time passes; each says its number and the step in which it happened."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.step, self.made = 0, 0

    def passes(self) -> None:
        self.step += 1
        rows = [self._row(self.made + n) for n in range(int(PER_S * STEP_S))]
        self.made += len(rows)
        self._spool.append("events", "ocsf_json", rows)

    def _row(self, number: int) -> bytes:
        event: dict[str, object] = {
            "time": 1_790_000_000_000 + number,
            "class_uid": 1007,
            "activity_id": 1,
        }
        event |= {"process": {"pid": number}, "message": f"{number} {self.step}"}
        return json.dumps(event).encode()


def _away(spool: Spool, hour: _Hour, away_s: float) -> int:
    """Let time pass without a server; give how often it was tried."""
    nowhere = Sender(Server("http://127.0.0.1:9", "t"), "id", "host")
    pace, tried, next_s = deliver.Pace(random.Random(3)), 0, 0.0
    while hour.step * STEP_S < away_s:
        hour.passes()
        if hour.step * STEP_S >= next_s:
            tried += 1
            with pytest.raises(Away):
                deliver.ship_all(spool, nowhere)
            next_s = hour.step * STEP_S + pace.after_failure()
    return tried


def _back(spool: Spool, hour: _Hour, road: _Road) -> None:
    """Let time pass with the server back until nothing waits but what just came."""
    for _ in range(100_000):
        hour.passes()
        road.left = BATCHES_A_STEP
        try:
            deliver.ship_all(spool, road)
        except (_Enough, Away):
            continue
        return
    raise AssertionError("the backlog does not end")


def _judge(door: Door, hour: _Hour) -> None:
    """See that all came, each once as the house counts, in order in each lane."""
    numbers: list[int] = []
    for messages in door.taken().values():
        next_row, lane = 0, list[int]()
        for first, rows in messages:
            if first < next_row:
                continue  # a repeat: the pipelines drop it by this very rule
            assert first == next_row
            next_row = first + len(rows)
            lane += [int(json.loads(row)["message"].split(" ")[0]) for row in rows]
        assert lane == sorted(lane)
        numbers += lane
    assert sorted(numbers) == list(range(hour.made))
    assert len(door.taken()) == 2


def outage(door: Door, spool: Spool, away_s: float) -> tuple[int, float]:
    """Be away so long, come back; give how many events there were, the longest wait of new ones."""
    hour = _Hour(spool)
    assert _away(spool, hour, away_s) < 60 + away_s / 60
    sender = Sender(door.server, agent_id(spool), "host")
    road = _Road(sender, hour)
    _back(spool, hour, road)
    road.left = 10**9
    while spool.next_batch() is not None:
        try:
            deliver.ship_all(spool, road)
        except Away:
            continue
    sender.close()
    _judge(door, hour)
    assert road.lost_answers > 0
    return hour.made, road.longest_wait * STEP_S
