"""Begin the responding half after a crash, and go on where beginning fails."""

import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import respond as half
from agent.act import Host
from agent.orders import InForce, Orders
from agent.respond import Responder, respond
from agent.spool import Spool
from tests.agent.test_orders import _state, _uid


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    orders = Orders(tmp_path / "orders.sqlite")
    yield Host(tmp_path, orders, list, frozenset, time.time)
    orders.close()


@pytest.fixture
def responder(host: Host, tmp_path: Path) -> Iterator[Responder]:
    spool = Spool(tmp_path / "spool.sqlite", 4 << 20)
    yield Responder(lambda _text: {}, spool, host, lambda: frozenset({"suspend"}))
    spool.close()


def test_what_is_told_as_failed_after_a_crash_is_not_in_force(
    host: Host, responder: Responder
) -> None:
    id_, other = str(uuid.uuid4()), str(uuid.uuid4())
    with subprocess.Popen(["sleep", "60"]) as started:
        try:
            host.orders.offer(id_, "order", time.time())
            assert host.orders.begin(id_)
            for name in (id_, other):
                detail = {"processes": [_uid(started.pid)] if name == id_ else []}
                host.orders.hold(InForce(name, "suspend", time.time() + 600, detail))
            started.send_signal(signal.SIGSTOP)  # and here the agent was killed
            responder.begin()
            assert _state(started.pid) in "SR"
        finally:
            started.kill()
    assert [one.id for one in host.orders.held()] == [other]
    assert [(r.id, r.state) for r in host.orders.untold()] == [(id_, "failed")]


class Stumbling(Responder):
    """Fail to begin at first."""

    def __init__(self, stop: threading.Event) -> None:
        self.begun, self.rounds, self._stop = 0, 0, stop

    def begin(self) -> None:
        self.begun += 1
        if self.begun < 3:
            raise OSError("the disk is full")

    def round(self) -> int:
        self.rounds += 1
        self._stop.set()
        return 0


def test_a_half_that_cannot_begin_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "AGAIN_S", 0.01)
    monkeypatch.setattr(half, "ROUND_S", 0.01)
    stop = threading.Event()
    one = Stumbling(stop)
    respond(one, stop)
    assert (one.begun, one.rounds) == (3, 1)


def test_what_could_not_be_ended_is_not_put_again(host: Host, responder: Responder) -> None:
    one = InForce("x", "nothing of ours", time.time() + 600, {})
    host.orders.hold(one)
    responder._over(one, "over")
    (left,) = host.orders.held()
    assert left.until_s <= time.time()
