"""Block a program of the test's own by its hash; nothing else on this machine has that hash."""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.act import Host, Refuses, block_hash
from agent.orders import Orders

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify is for root")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Give a sleep that no other is: with some bytes behind it."""
    made = tmp_path / "dropper"
    made.write_bytes(Path("/bin/sleep").read_bytes() + os.urandom(16))
    made.chmod(0o755)
    return made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    orders = Orders(tmp_path / "orders.sqlite")
    made = Host(tmp_path, orders, list, lambda: frozenset({os.getpid()}), time.time)
    yield made
    block_hash.put([], made)
    orders.close()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_blocked_program_ends_as_it_starts_and_where_it_runs(host: Host, program: Path) -> None:
    with subprocess.Popen([program, "60"]) as before, subprocess.Popen(["sleep", "60"]) as other:
        asked = {"sha256": _digest(program), "minutes": 5}
        dry = block_hash.plan(asked, host)
        assert [row["pid"] for row in dry["running"]] == [before.pid]
        assert before.poll() is None
        block_hash.do("a", asked, host)
        assert before.wait(10) == -9
        for _ in range(5):
            with subprocess.Popen([program, "60"]) as after:
                assert after.wait(10) == -9
        assert other.poll() is None
        other.kill()
    (one,) = host.orders.held()
    host.orders.release(one.id)
    assert block_hash.undo(one, host) == {"still_blocked": []}
    assert subprocess.run([program, "0.1"], check=False).returncode == 0
    assert host.running == {}


def test_neither_the_agent_nor_the_first_process_is_blocked(host: Host) -> None:
    for program in (f"/proc/{os.getpid()}/exe", "/proc/1/exe"):
        if not os.access(program, os.R_OK):
            continue  # a first process that shows nobody its program, and is spared by its pid
        with pytest.raises(Refuses, match="first process or the agent"):
            block_hash.do("a", {"sha256": _digest(Path(program))}, host)
    assert host.orders.held() == []
