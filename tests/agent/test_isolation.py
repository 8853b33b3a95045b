"""Isolate and block in a network of the test's own: nothing of this machine's network is touched.

Runs itself in a namespace with two more behind it: the house on one side, a stranger on the other.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.act import Host, Refuses, _nft, block_ip, isolate
from agent.act._nft import exists
from agent.orders import InForce, Orders
from tests.agent import in_namespace

HERE = Path(__file__).resolve().parent.parent.parent
CAN = os.geteuid() == 0 and shutil.which("nft") and shutil.which("unshare") and shutil.which("ip")


def _ran(name: str, folder: Path) -> str:
    words = ["unshare", "--net", sys.executable, "-m", "tests.agent.in_namespace", name]
    done = subprocess.run(
        [*words, str(folder)], cwd=HERE, check=False, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip() or done.stderr


@pytest.mark.skipif(not CAN, reason="needs root, nft, ip and network namespaces")
@pytest.mark.parametrize("name", in_namespace.WALKS)
def test_in_a_network_of_its_own(name: str, tmp_path: Path) -> None:
    assert _ran(name, tmp_path) == "well"


def _host(tmp_path: Path, house: list[tuple[str, int]]) -> Host:
    orders = Orders(tmp_path / "orders.sqlite")
    return Host(tmp_path, orders, lambda: house, frozenset, lambda: 1000.0)


def test_a_host_that_does_not_know_where_the_house_is_is_not_cut_off(tmp_path: Path) -> None:
    with pytest.raises(Refuses, match="not known yet"):
        isolate.plan({}, _host(tmp_path, []))


@pytest.mark.parametrize(
    "address", ["203.0.113.9", "203.0.113.0/24", "127.0.0.1", "0.0.0.0/0", "::/0", "a; drop", ""]
)
def test_neither_the_house_nor_this_host_nor_the_world_is_blocked(
    tmp_path: Path, address: str
) -> None:
    with pytest.raises(Refuses):
        block_ip.plan({"address": address}, _host(tmp_path, [("203.0.113.9", 443)]))


def test_no_text_gets_into_the_rules_unread() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        isolate.rules([("1.2.3.4 accept; drop", 1)], 60)
    with pytest.raises(ValueError, match="does not appear"):
        block_ip.rules([("1.2.3.4; flush ruleset", 60)])


def test_an_isolation_without_nft_leaves_nothing_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("agent.act._nft._PLACES", ())
    host = _host(tmp_path, [("203.0.113.9", 443)])
    with pytest.raises(Refuses, match="install the package"):
        isolate.do("a", {}, host)
    with pytest.raises(Refuses, match="install the package"):
        exists("x")
    assert host.orders.held() == []
    host.orders.hold(InForce("a", "isolate", 5.0, {}))
    assert [one.id for one in host.orders.held()] == ["a"]


def test_a_shorter_isolation_does_not_end_a_longer_one_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, put = _host(tmp_path, [("192.0.2.1", 443)]), list[str]()
    monkeypatch.setattr(_nft, "run", put.append)
    monkeypatch.setattr(_nft, "program", lambda: "nft")
    isolate.do("a", {"minutes": 600}, host)
    isolate.do("b", {"minutes": 5}, host)
    assert [f"ipv4 timeout {36_000}s" in rules for rules in put] == [True, True]
