"""Block a program of the test's own by its hash; nothing else on this machine has that hash."""

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.act import Host, Refuses, _execs, block_hash
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


def test_scripts_that_are_blocked_keep_no_program_alive(
    host: Host, program: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n# {os.urandom(8).hex()}\nread line\n")
    script.chmod(0o755)
    for name, path in (("a", script), ("b", program)):
        block_hash.do(name, {"sha256": _digest(path), "minutes": 5}, host)
    with ExitStack() as stack:
        for _ in range(12):
            one = stack.enter_context(subprocess.Popen([script], stdin=subprocess.PIPE))
            stack.callback(one.kill)
        with subprocess.Popen([program, "60"]) as started:
            try:
                assert started.wait(3) == -9
            finally:
                started.kill()


def test_a_watch_that_has_died_is_replaced(host: Host, program: Path) -> None:
    block_hash.do("a", {"sha256": _digest(program), "minutes": 5}, host)
    watch = host.running[block_hash.KIND]
    assert isinstance(watch, _execs.Execs)
    watch._stop.set()
    watch._thread.join(5)
    block_hash.put(host.orders.held(), host)
    with subprocess.Popen([program, "60"]) as started:
        assert started.wait(5) == -9


def test_a_mount_whose_name_is_no_text_ends_no_watch(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/a rw\n"
        b"2 1 0:9 / /srv/\xff\\040x\\n rw,a - fuse.x y rw\n"
        b"3 1 0:8 / /proc rw - proc proc rw\n"
        b"broken\n"
    )
    assert _execs.roots(mounts) == [b"/", b"/srv/\xff x\\n"]
