"""The half that responds is called when there is something to do, and ends when there is not."""

import socket
import threading
from pathlib import Path

import pytest

from agent.orders import InForce, Orders, Result
from agent.policy import Follower
from agent.start import of_unit
from agent.units import RESPOND, RESPOND_PATH, SHIP, WATCH, units
from agent.wake import WANTED, Idle, call
from agent.watchdog import pulse
from api.agent_policy import read_document, set_policy
from tests.agent.ordered_house import ANN, Agent, signed


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path / "orders.sqlite")


def test_it_ends_after_so_long_without_work_and_not_before(tmp_path: Path, orders: Orders) -> None:
    at = [0.0]
    idle = Idle(tmp_path, orders, 60.0, lambda: at[0])
    call(tmp_path)
    said = []
    for now_s, has_done in ((59.0, True), (118.0, False), (119.0, False)):
        at[0] = now_s
        said.append(idle.look(has_done))
    assert said == [False, False, True]
    assert not (tmp_path / WANTED).exists()


@pytest.mark.parametrize("state", ["came", "begun", "in force"])
def test_it_stays_while_something_waits_or_is_in_force(
    tmp_path: Path, orders: Orders, state: str
) -> None:
    if state == "in force":
        orders.hold(InForce("a", "isolate", 5.0, {}))
    else:
        orders.offer("a", "{}", 1.0)
    if state == "begun":
        orders.begin("a")
    at = [0.0]
    idle = Idle(tmp_path, orders, 1.0, lambda: at[0])
    at[0] = 100.0
    assert not idle.look(False)
    assert (tmp_path / WANTED).exists()
    orders.release("a")
    orders.end(Result("a", "done", {}))
    at[0] = 200.0
    assert idle.look(False)


def test_an_order_that_comes_as_it_ends_is_not_left(tmp_path: Path, orders: Orders) -> None:
    at = [0.0]

    class Late(Orders):
        def has_work(self) -> bool:
            # The other half keeps an order between the two looks.
            found = super().has_work()
            self.offer("a", "{}", 1.0)
            return found

    late = Late(tmp_path / "late.sqlite")
    idle = Idle(tmp_path, late, 1.0, lambda: at[0])
    at[0] = 5.0
    assert not idle.look(False)
    assert (tmp_path / WANTED).exists()


def test_a_half_that_is_not_started_by_a_unit_never_ends(tmp_path: Path, orders: Orders) -> None:
    assert not Idle(tmp_path, orders, 0.0, lambda: 1e9).look(False)


def test_the_beat_calls_when_an_order_came(agent: Agent) -> None:
    mark = agent.identity.folder / WANTED
    agent.beat.beat(agent.now_s())
    assert not mark.exists()
    agent.orders.offer(*signed(agent), agent.now_s())
    agent.beat.beat(agent.now_s())
    assert mark.exists()


def test_units_say_what_the_program_reads_without_its_parser() -> None:
    made = units("/opt/x")
    assert f"PathExists=/var/lib/inopsio-agent/{WANTED}\n" in made[RESPOND_PATH]
    for name, half in ((SHIP, "ship"), (WATCH, "look")):
        (line,) = [one for one in made[name].splitlines() if one.startswith("ExecStart=")]
        given = of_unit(line.split()[1:])
        assert given is not None
        assert given.only == half
    assert of_unit(["run", "--only", "look"]) is None


def test_a_policy_that_runs_is_not_refused_by_the_next_start(agent: Agent) -> None:
    desk = agent.house.desk
    made = set_policy(desk.database, ANN, read_document({"off": ["packages"]}), desk.now())
    agent.beat.beat(agent.now_s())
    assert agent.ordered.look()
    again = Follower(agent.identity.folder)
    assert not again.look()
    assert (again.policy.version, again.refused, again.reason) == (made.version, 0, "")


def test_systemd_hears_of_steps_and_nothing_of_a_half_that_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "WatchdogSec=" in units("/opt/x")[RESPOND]
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr("agent.watchdog.CHECK_S", 0.01)
    steps, stop = iter((1, 2, 2, 2, 2)), threading.Event()

    def taken() -> int:
        found = next(steps, None)
        if found is None:
            stop.set()
        return found or 2

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        pulse(taken, stop)
        heard.setblocking(False)
        assert [heard.recv(100), heard.recv(100)] == [b"WATCHDOG=1"] * 2
        with pytest.raises(BlockingIOError):
            heard.recv(100)


def test_each_order_and_each_round_is_a_step(agent: Agent) -> None:
    responder = agent.responder()
    before = responder.steps
    for _ in range(3):
        agent.orders.offer(*signed(agent), agent.now_s())
    responder.round()
    assert responder.steps == before + 4
