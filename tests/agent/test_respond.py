"""Begin the responding half after a crash, and go on where beginning fails."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import respond as half
from agent.act import ENDS, MOST_MINUTES, Host, impose, lasting, left_s
from agent.errors import AgentError, BadOrder
from agent.orders import InForce, Orders, anew_if_damaged
from agent.respond import Responder, respond
from agent.spool import Spool
from agent.spool_file import broken
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


class _Clock:
    """A host's clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall_s, self.since_boot_s, self.boot = 1_795_000_000.0, 5_000.0, "one"

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.since_boot_s += seconds


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def timed(tmp_path: Path, clock: _Clock) -> Iterator[Host]:
    orders = Orders(tmp_path / "timed.sqlite")
    yield Host(
        tmp_path,
        orders,
        list,
        frozenset,
        lambda: clock.wall_s,
        since_boot_s=lambda: clock.since_boot_s,
        boot=lambda: clock.boot,
    )
    orders.close()


def _imposed(host: Host, minutes: int) -> InForce:
    until_s = host.now_s() + minutes * 60
    impose(InForce("x", "isolate", until_s, {}), host, lambda _held, _host: None)
    (one,) = host.orders.noted()
    return one


@pytest.mark.parametrize("moved_s", [-86_400.0, 86_400.0, -(10.0**8)])
def test_a_clock_that_is_set_changes_no_end(timed: Host, clock: _Clock, moved_s: float) -> None:
    one = _imposed(timed, 30)
    clock.passes(600)
    clock.wall_s += moved_s
    assert left_s(one, timed) == 20 * 60
    clock.passes(1200)
    assert left_s(one, timed) == 0


def test_after_a_start_of_the_machine_no_more_is_left_than_was(timed: Host, clock: _Clock) -> None:
    one = _imposed(timed, 30)
    clock.passes(600)
    clock.boot, clock.since_boot_s = "two", 10.0
    assert left_s(one, timed) == 20 * 60
    clock.wall_s -= 86_400  # set back between two starts: the order's own minutes at most
    assert left_s(one, timed) == 30 * 60
    again = lasting(one, timed)
    clock.passes(1790)
    clock.wall_s -= 86_400
    assert left_s(again, timed) == 10


def test_what_a_clock_set_back_would_prolong_is_ended_in_time(
    timed: Host, clock: _Clock, tmp_path: Path
) -> None:
    until_s = clock.wall_s + 1800
    detail: dict[str, Any] = {"network": "192.0.2.7/32"}
    one = lasting(InForce("x", "suspend", until_s, {"processes": [], **detail}), timed)
    _hold(timed, one, at_us=int(clock.wall_s * 1e6))
    with contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool:
        half = Responder(_opened, spool, timed, lambda: frozenset({"suspend"}))
        half.begin()
        clock.wall_s -= 86_400
        clock.passes(1700)
        half.round()
        assert [o.id for o in timed.orders.noted()] == ["x"]
        clock.passes(101)
        half.round()
        assert timed.orders.noted() == []


@pytest.mark.parametrize("ends", [None, "x", [1], ["one", "x", 3], ["one", 1e999, 1e999]])
def test_an_end_that_is_none_is_bounded(timed: Host, clock: _Clock, ends: object) -> None:
    one = InForce("x", "isolate", clock.wall_s + 10**9, {ENDS: ends})
    assert left_s(one, timed) == MOST_MINUTES * 60


@pytest.mark.parametrize("bad", ["{", "[]", "[" * 9999, b"\xff", 7])
def test_a_row_that_cannot_be_read_stops_no_order(
    host: Host, responder: Responder, bad: object
) -> None:
    _hold(host, InForce("good", "suspend", time.time() + 600, {"processes": []}))
    with contextlib.closing(sqlite3.connect(host.folder / "orders.sqlite")) as db:
        row = ("bad", "isolate", time.time() + 600, bad)
        db.execute("INSERT INTO in_force VALUES (?, ?, ?, ?)", row)
        db.execute(
            "INSERT INTO orders (id, text, at_s, state, result) VALUES ('b', '', 1, 'done', ?)",
            (bad,),
        )
        db.commit()
    responder.begin()
    host.orders.offer("undo", _undo_of("good"), time.time())
    assert responder.round() == 1
    told = {r.id: r.told for r in host.orders.untold()}
    assert told["undo"]["was_in_force"] is True
    assert told["b"] == {"why": "the result on the host is damaged"}
    assert host.orders.noted() == []
    assert not host.orders.has_work()
    batch = responder._spool.next_batch()
    assert batch is not None
    codes = [json.loads(row)["metadata"]["event_code"] for row in batch.rows]
    assert codes.count("orders_damaged") == 1


def _undo_of(id_: str) -> str:
    now_us = int(time.time() * 1e6)
    body = {"id": "undo", "kind": "undo", "arguments": {"action": id_}, "is_dry": False}
    return "good " + json.dumps({**body, "at_us": now_us, "expires_us": now_us + 10**9})


@pytest.mark.parametrize("pages", [(0, 1), (1, 4), (4, 7)])
def test_damaged_orders_are_set_aside_and_told(
    tmp_path: Path, pages: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, anew = tmp_path / "orders.sqlite", list[str]()
    with contextlib.closing(Orders(path)) as old:
        for n in range(60):
            old.offer(f"{n}", "x" * 3000, float(n))
            old.begin(f"{n}")
    with path.open("r+b") as file:
        file.seek(pages[0] * 4096)
        file.write(b"\xa5" * 4096 * (pages[1] - pages[0]))
    with (
        contextlib.closing(Orders(path)) as orders,
        contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool,
    ):
        host = Host(tmp_path, orders, list, frozenset, time.time)
        Responder(_opened, spool, host, lambda: frozenset({"suspend"})).round()
        batch = spool.next_batch()
        assert orders.offer("a", "text", 1.0)
    assert batch is not None
    assert b"orders_damaged" in b"".join(batch.rows)
    assert (tmp_path / "orders.sqlite.damaged").exists()
    with contextlib.closing(Orders(path)) as again:
        assert again.mended == ""
    monkeypatch.setattr("agent.watchdog.begin_anew", anew.append)
    anew_if_damaged(sqlite3.OperationalError("database is locked"))
    anew_if_damaged(broken("malformed"))
    assert anew == ["the orders: malformed"]
