"""Begin the responding half after a crash, and go on where beginning fails."""

import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import respond as half
from agent.act import Host
from agent.errors import AgentError, BadOrder
from agent.orders import InForce, Orders
from agent.respond import Responder, respond
from agent.spool import Spool
from tests.agent.test_orders import _state, _uid


def _opened(text: str) -> dict[str, Any]:
    """Take for signed what begins with a mark."""
    if not text.startswith("good "):
        raise BadOrder("forged")
    found: dict[str, Any] = json.loads(text.removeprefix("good "))
    return found


def _hold(host: Host, one: InForce, mark: str = "good ", **changed: object) -> None:
    """Note something as in force with its order beside it."""
    now_us = int(time.time() * 1e6)
    body = {"id": one.id, "kind": one.kind, "arguments": {}, "is_dry": False, "at_us": now_us}
    host.orders.keep_signed(one.id, mark + json.dumps({**body, **changed}))
    host.orders.hold(one)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    orders = Orders(tmp_path / "orders.sqlite")
    yield Host(tmp_path, orders, list, frozenset, time.time)
    orders.close()


@pytest.fixture
def responder(host: Host, tmp_path: Path) -> Iterator[Responder]:
    spool = Spool(tmp_path / "spool.sqlite", 4 << 20)
    yield Responder(_opened, spool, host, lambda: frozenset({"suspend", "block_ip"}))
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
                _hold(host, InForce(name, "suspend", time.time() + 600, detail))
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
    (left,) = host.orders.noted()
    assert left.until_s <= time.time()


@pytest.mark.parametrize(
    ("mark", "changed", "until_s", "is_good"),
    [
        ("good ", {}, 600, True),
        ("bad ", {}, 600, False),
        ("good ", {"id": "y"}, 600, False),
        ("good ", {"kind": "isolate"}, 600, False),
        ("good ", {"is_dry": True}, 600, False),
        ("good ", {"arguments": {"address": "192.0.2.8"}}, 600, False),
        ("good ", {"arguments": {"address": "?"}}, 600, False),
        ("good ", {}, 10 * 86_400, False),
    ],
)
def test_what_the_file_says_is_in_force_only_by_a_signed_order(
    host: Host,
    responder: Responder,
    mark: str,
    changed: dict[str, object],
    until_s: float,
    is_good: bool,
) -> None:
    one = InForce("x", "block_ip", time.time() + until_s, {"network": "192.0.2.7/32"})
    _hold(host, one, mark, **{"arguments": {"address": "192.0.2.7"}, **changed})
    assert host.orders.held() == ([one] if is_good else [])


def test_what_was_noted_without_any_order_is_ended(host: Host, responder: Responder) -> None:
    host.orders.hold(InForce("x", "suspend", time.time() + 600, {"processes": []}))
    responder.begin()
    assert host.orders.noted() == []


def test_a_check_that_could_not_be_made_ends_nothing(host: Host, responder: Responder) -> None:
    _hold(host, InForce("x", "suspend", time.time() + 600, {"processes": []}))
    responder._opened = _slow
    with pytest.raises(AgentError):
        responder.begin()
    responder._opened = _opened
    responder.begin()
    assert [one.id for one in host.orders.held()] == ["x"]


def _slow(_text: str) -> dict[str, Any]:
    raise AgentError("it could not be checked")
