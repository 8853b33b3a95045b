"""Walks of isolation and blocks, each in a network namespace that `test_isolation` makes for it."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.act import Host, actions, block_ip, isolate
from agent.act._nft import exists
from agent.orders import InForce, Orders

HOUSE, STRANGER = "198.51.100.1", "203.0.113.9"
PORT = 8601


class Net:
    """Two far ends as addresses of a second namespace, joined by one cable."""

    def __init__(self) -> None:
        self._held = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        time.sleep(0.3)
        far = str(self._held.pid)
        _ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
        for words in (
            ("addr", "add", "198.51.100.2/24", "dev", "near"),
            ("link", "set", "near", "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", HOUSE),
        ):
            _ip(*words)
        for words in (
            ("addr", "add", f"{HOUSE}/24", "dev", "far"),
            ("addr", "add", f"{STRANGER}/32", "dev", "far"),
            ("link", "set", "far", "up"),
        ):
            subprocess.run(["nsenter", "-t", far, "-n", "ip", *words], check=True)
        enter = ["nsenter", "-t", far, "-n", sys.executable, "-m", "tests.agent.in_namespace"]
        self._far = subprocess.Popen([*enter, "far"])
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + 20
        while not (reaches(HOUSE) and reaches(STRANGER)):
            assert time.monotonic() < end_s, "the far end does not answer"

    def close(self) -> None:
        for one in (self._far, self._held):
            one.kill()
            one.wait()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def reaches(address: str, port: int = PORT, timeout_s: float = 0.5) -> bool:
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def far() -> None:
    """Listen on both far addresses until killed."""
    ear = socket.create_server(("0.0.0.0", PORT))
    other = socket.create_server(("0.0.0.0", PORT + 1))
    threading.Thread(target=_accept, args=(other,), daemon=True).start()
    _accept(ear)


def _accept(ear: socket.socket) -> None:
    while True:
        ear.accept()[0].close()


@contextlib.contextmanager
def standing(folder: Path) -> Iterator[Host]:
    net = Net()
    orders = Orders(folder / "orders.sqlite")
    try:
        yield Host(folder, orders, lambda: [(HOUSE, PORT)], frozenset, time.time)
    finally:
        orders.close()
        net.close()


def cuts_all_but_the_house(folder: Path) -> None:
    with standing(folder) as host:
        isolate.do("a", {"minutes": 5}, host)
        assert reaches(HOUSE)
        assert not reaches(STRANGER)
        assert not reaches(HOUSE, PORT + 1)
        with socket.create_server(("127.0.0.1", 0)) as ear:
            assert reaches("127.0.0.1", ear.getsockname()[1])
        (one,) = host.orders.held()
        host.orders.release(one.id)
        assert isolate.undo(one, host) == {"still_isolated": False}
        assert reaches(STRANGER)
        assert not exists(isolate.TABLE)


def cuts_an_open_connection_too(folder: Path) -> None:
    with standing(folder) as host, socket.create_connection((STRANGER, PORT), timeout=1) as link:
        isolate.do("a", {"minutes": 5}, host)
        link.settimeout(0.5)
        with contextlib.suppress(OSError):
            link.recv(1)  # what was under way
        assert not reaches(STRANGER)


def ends_in_time_although_the_agent_is_dead(folder: Path) -> None:
    with standing(folder) as host:
        one = InForce("a", "isolate", time.time() + 2, {})
        host.orders.hold(one)
        isolate.put([one], host)
        assert not reaches(STRANGER)
        time.sleep(3)
        assert exists(isolate.TABLE)  # nobody has taken it away: the kernel ended it
        assert reaches(STRANGER)


def is_taken_back_after_a_crash(folder: Path) -> None:
    with standing(folder) as host:
        isolate.do("a", {"minutes": 5}, host)
        host.orders.close()
        again = Orders(folder / "orders.sqlite")  # a new process
        new = Host(folder, again, host.house, host.own_pids, host.now_s)
        (one,) = again.held()
        isolate.put([one], new)
        assert not reaches(STRANGER)
        assert reaches(HOUSE)
        again.release(one.id)
        isolate.undo(one, new)
        assert reaches(STRANGER)


def blocks_one_address(folder: Path) -> None:
    with standing(folder) as host:
        block_ip.do("a", {"address": STRANGER, "minutes": 5}, host)
        block_ip.do("b", {"address": f"{STRANGER}/32", "minutes": 1}, host)
        assert not reaches(STRANGER)
        assert reaches(HOUSE)
        for id_, is_open in (("a", False), ("b", True)):
            (one,) = [o for o in host.orders.held() if o.id == id_]
            host.orders.release(one.id)
            block_ip.undo(one, host)
            assert reaches(STRANGER) is is_open


WALKS: dict[str, Callable[[Path], None]] = {
    "cuts all but the house": cuts_all_but_the_house,
    "cuts an open connection too": cuts_an_open_connection_too,
    "ends in time although the agent is dead": ends_in_time_although_the_agent_is_dead,
    "is taken back after a crash": is_taken_back_after_a_crash,
    "blocks one address": blocks_one_address,
}

if __name__ == "__main__":
    if sys.argv[1] == "far":
        far()
    assert {"isolate", "block_ip"} <= set(actions())
    WALKS[sys.argv[1]](Path(sys.argv[2]))
    print("well")
