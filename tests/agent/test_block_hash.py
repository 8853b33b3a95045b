"""Block a program of the test's own by its hash; nothing else on this machine has that hash."""

import contextlib
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.act import (
    Host,
    Refuses,
    _copies,
    _judge,
    _nft,
    _programs,
    _refusals,
    _spared,
    block_hash,
)
from agent.act._block import MOST_TOLD, Block, Seen
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
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Give a host whose programs are not looked through: starts alone tell of them."""
    monkeypatch.setattr(_copies, "FOLDERS", ())
    orders = Orders(tmp_path / "orders.sqlite")
    made = Host(tmp_path, orders, list, lambda: frozenset({os.getpid()}), time.time)
    yield made
    block_hash.put([], made)
    orders.close()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _blocked(host: Host, *paths: Path) -> None:
    for path in paths:
        block_hash.do(path.name, {"sha256": _digest(path), "minutes": 5}, host)


def _is_refused(path: Path) -> bool:
    """Start it; whether the kernel refused that."""
    try:
        subprocess.run([path, "0"], check=True)
    except PermissionError as no:
        return no.errno == errno.EPERM
    return False


def _news(host: Host) -> list[tuple[str, str]]:
    block_hash.put(host.orders.held(), host)
    return [(row["how"], row["program"]) for row in host.news if "how" in row]


def test_what_runs_is_ended_and_its_program_refused_until_undone(host: Host, program: Path) -> None:
    with subprocess.Popen([program, "60"]) as before, subprocess.Popen(["sleep", "60"]) as other:
        asked = {"sha256": _digest(program), "minutes": 5}
        dry = block_hash.plan(asked, host)
        assert [row["pid"] for row in dry["running"]] == [before.pid]
        assert before.poll() is None
        told = block_hash.do("a", asked, host)
        assert (told["refused_places"], told["places"]) == (1, [str(program)])
        assert before.wait(10) == -9
        assert all(_is_refused(program) for _ in range(5))
        assert other.poll() is None
        other.kill()
    assert _news(host) == [("ended", str(program)), ("refused", str(program))]
    (one,) = host.orders.held()
    host.orders.release(one.id)
    assert block_hash.undo(one, host) == {"still_blocked": []}
    assert subprocess.run([program, "0.1"], check=False).returncode == 0
    assert host.running == {}


def test_a_new_copy_is_ended_at_its_first_start_and_refused_from_then_on(
    host: Host, program: Path, tmp_path: Path
) -> None:
    _blocked(host, program)
    copy = tmp_path / os.fsdecode(b"else\xffwhere")
    shutil.copy2(program, copy)
    with subprocess.Popen([copy, "60"]) as first:
        assert first.wait(10) == -9
    os.link(copy, tmp_path / "another name")
    assert _is_refused(copy)
    assert _is_refused(tmp_path / "another name")
    assert _news(host)[0] == ("ended", f"{tmp_path}/else\\udcffwhere")


def test_a_copy_in_the_place_of_one_that_was_deleted_is_refused_again(
    host: Host, program: Path, tmp_path: Path
) -> None:
    _blocked(host, program)
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    copy = tmp_path / "copy"
    for _ in range(2):  # by ext4 with the same inode
        shutil.copy2(program, copy)
        with subprocess.Popen([copy, "60"]) as first:
            assert first.wait(10) == -9
        assert _is_refused(copy)
        copy.unlink()
    # By any file system: what is noted for another file that has gone.
    (one,) = [o for o in block._refusals.places() if o.path.startswith(str(copy))][:1]
    shutil.copy2(program, copy)
    block._refusals._places[copy.stat().st_dev, copy.stat().st_ino] = one
    with subprocess.Popen([copy, "60"]) as first:
        assert first.wait(10) == -9
    assert _is_refused(copy)


def test_files_that_have_gone_take_no_room(
    host: Host, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_refusals, "MOST", 2)
    _blocked(host, program)
    for number in range(4):
        copy = tmp_path / str(number)
        shutil.copy2(program, copy)
        os.link(copy, tmp_path / f"kept {number}")  # its inode is not free again
        with subprocess.Popen([copy, "60"]) as first:
            assert first.wait(10) == -9
        copy.unlink()
    shutil.copy2(program, tmp_path / "last")
    with subprocess.Popen([tmp_path / "last", "60"]) as first:
        assert first.wait(10) == -9
    assert _is_refused(tmp_path / "last")


def test_a_script_that_is_blocked_is_refused_from_its_second_start_on(
    host: Host, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n# {os.urandom(8).hex()}\n")
    script.chmod(0o755)
    _blocked(host, script)
    assert not _is_refused(script)
    end_s = time.monotonic() + 5
    while not _is_refused(script):
        assert time.monotonic() < end_s


def test_a_file_that_is_another_by_now_starts(host: Host, program: Path) -> None:
    with subprocess.Popen([program, "60"]):
        _blocked(host, program)
    assert _is_refused(program)
    with program.open("ab") as file:
        file.write(b"another")
    assert subprocess.run([program, "0"], check=False).returncode == 0
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    assert block._refusals.places() == []


def test_of_two_blocks_the_one_that_is_left_still_refuses(
    host: Host, program: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(program.read_bytes() + b"2")
    other.chmod(0o755)
    with subprocess.Popen([program, "60"]), subprocess.Popen([other, "60"]):
        _blocked(host, program, other)
    host.orders.release("other")
    block_hash.put(host.orders.held(), host)
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    assert block.places(_digest(other)) == []
    assert not _is_refused(other)
    assert _is_refused(program)


def test_a_look_finds_copies_before_any_start_and_says_how_many(
    host: Host, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "a" / "b"
    hidden.mkdir(parents=True)
    shutil.copy2(program, hidden / "copy")
    (hidden / "link").symlink_to(program)
    (hidden / "mine").write_bytes(b"#!/bin/true\n")
    monkeypatch.setattr(_copies, "FOLDERS", (str(hidden.parent).lstrip("/"),))
    _blocked(host, program)
    end_s = time.monotonic() + 10
    while not host.news:
        assert time.monotonic() < end_s
        time.sleep(0.02)
        block_hash.put(host.orders.held(), host)
    (row,) = host.news
    assert (row["found"], row["hashed"], row["refused_places"]) == (1, 1, [str(hidden / "copy")])
    assert _is_refused(hidden / "copy")


def test_a_look_is_bounded_and_says_so(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        shutil.copy2(program, folder / str(number))
    monkeypatch.setattr(_copies, "MOST_ENTRIES", 10)
    words = (frozenset({"0" * 64}), dict, lambda *_: True, _copies.Known(), (str(folder),))
    search = _copies.Search(*words)
    search._thread.join(10)
    assert search.looked == _copies.Looked(10, 10, 10 * program.stat().st_size, 0, True)


@contextlib.contextmanager
def stopped_agent(program: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give an agent that blocks the program and stands still."""
    words = [sys.executable, "-m", "tests.agent.blocker", str(folder), _digest(program)]
    with (
        subprocess.Popen([program, "60"]),
        subprocess.Popen(words, stdout=subprocess.PIPE) as agent,
    ):
        try:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"blocked\n"
            agent.send_signal(signal.SIGSTOP)
            yield agent
        finally:
            agent.kill()


def test_a_stopped_agent_holds_starts_of_blocked_programs_and_no_others(
    program: Path, tmp_path: Path
) -> None:
    with stopped_agent(program, tmp_path) as agent:
        for _ in range(3):
            assert subprocess.run(["/bin/sleep", "0"], check=False, timeout=5).returncode == 0
        # By a shell: it is the one that waits, not this test.
        with subprocess.Popen(["/bin/sh", "-c", f"{program} 0; echo $?"], stdout=-1) as held:
            with pytest.raises(subprocess.TimeoutExpired):
                held.wait(1)
            agent.send_signal(signal.SIGCONT)
            out, _ = held.communicate(timeout=10)
            assert out == b"126\n"


def test_a_killed_agent_holds_nothing(program: Path, tmp_path: Path) -> None:
    with (
        stopped_agent(program, tmp_path) as agent,
        subprocess.Popen([f"exec {program} 0"], shell=True) as held,  # noqa: S602  a shell is to wait
    ):
        with pytest.raises(subprocess.TimeoutExpired):
            held.wait(0.5)
        agent.kill()
        assert held.wait(10) == 0


def test_a_look_sees_the_hosts_tmp_from_a_unit_that_has_its_own(
    program: Path, tmp_path: Path
) -> None:
    # As PrivateTmp makes it: another file system lies over /tmp, and not for the first process.
    if not tmp_path.is_relative_to("/tmp") or shutil.which("unshare") is None:
        pytest.skip("the test's folder is not in /tmp, or there is no unshare")
    agent_words = f"{sys.executable} -m tests.agent.blocker /tmp {_digest(program)}"
    inside = f"mount -t tmpfs none /tmp && exec {agent_words} {tmp_path.relative_to('/')}"
    words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    words += ["sh", "-c", f"unshare --mount sh -c '{inside}'; true"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"blocked\n"
            assert b"'found': 1" in agent.stdout.readline()
            assert _is_refused(program)
        finally:
            agent.kill()


def test_what_is_started_in_a_storm_is_told_of_by_name_and_then_counted() -> None:
    seen = Seen()
    for number in range(MOST_TOLD * 2):
        for _ in range(3):
            seen("ended", 1, f"/tmp/{number}", "0" * 64)
    assert len(seen.take()) == MOST_TOLD
    assert seen.take() == []


def test_neither_the_agent_nor_the_first_process_is_blocked(host: Host) -> None:
    for program in (f"/proc/{os.getpid()}/exe", "/proc/1/exe", _nft.program()):
        if not os.access(program, os.R_OK):
            continue  # a first process that shows nobody its program, and is spared by its pid
        with pytest.raises(Refuses, match="the agent"):
            block_hash.do("a", {"sha256": _digest(Path(program))}, host)
    assert host.orders.held() == []


@pytest.mark.parametrize("path", ["/bin/sh", "/bin/login", sys.executable, "loader"])
def test_what_every_start_needs_is_not_blocked(host: Host, path: str) -> None:
    if path == "loader":
        with open(sys.executable, "rb") as file:  # noqa: PTH123  a handle is needed
            path = _spared.interpreter(file.fileno())
        assert Path(path).name.startswith("ld-")
    if not Path(path).exists():
        pytest.skip("this host has no such program")
    with pytest.raises(Refuses, match="every start"):
        block_hash.plan({"sha256": _digest(Path(path))}, host)


def test_what_becomes_a_program_that_is_needed_starts_again(
    host: Host, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_spared, "PATHS", (str(tmp_path / "shell"),))
    monkeypatch.setattr(_spared, "KEPT_S", 0.0)
    with subprocess.Popen([program, "60"]):
        _blocked(host, program)
    assert _is_refused(program)
    program.rename(tmp_path / "shell")  # as an update puts it in place
    assert subprocess.run([tmp_path / "shell", "0.2"], check=False).returncode == 0


def test_scripts_that_are_blocked_keep_no_program_alive(
    host: Host, program: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n# {os.urandom(8).hex()}\nread line\n")
    script.chmod(0o755)
    for name, path in (("a", script), ("b", program)):
        block_hash.do(name, {"sha256": _digest(path), "minutes": 5}, host)
    with ExitStack() as stack:
        for number in range(12):
            copy = shutil.copy2(script, tmp_path / f"script {number}")
            one = stack.enter_context(subprocess.Popen([copy], stdin=subprocess.PIPE))
            stack.callback(one.kill)
        with subprocess.Popen([program, "60"]) as started:
            try:
                assert started.wait(3) == -9
            finally:
                started.kill()


@pytest.fixture
def dead(program: Path, tmp_path: Path) -> Iterator[Path]:
    """Give a program that runs, on a file system in user space that answers no more."""
    folder = tmp_path / "fuse"
    folder.mkdir()
    words = [sys.executable, "-m", "tests.agent.fuse_file", str(folder), str(program)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as answers:
        try:
            assert answers.stdout is not None
            if answers.stdout.readline() != b"mounted\n":
                pytest.skip("no file system in user space can be mounted here")
            with subprocess.Popen([folder / "program", "60"]) as started:
                time.sleep(0.2)
                answers.send_signal(signal.SIGSTOP)
                yield folder / "program"
                started.kill()
        finally:
            answers.kill()
            subprocess.run(["umount", "-l", folder], check=False)


def test_a_file_system_that_does_not_answer_ends_no_block(
    host: Host, dead: Path, program: Path, tmp_path: Path
) -> None:
    shutil.copy2(program, tmp_path / "copy")
    blocking = threading.Thread(target=_blocked, args=(host, program), daemon=True)
    blocking.start()
    blocking.join(5)
    assert not blocking.is_alive()
    words = [sys.executable, "-c", f"import os; os.execv({str(dead)!r}, ['x', '0'])"]
    with subprocess.Popen(words) as waits:
        try:
            with subprocess.Popen([tmp_path / "copy", "60"]) as first:
                assert first.wait(5) == -9
            assert _is_refused(tmp_path / "copy")
        finally:
            waits.kill()


def test_small_programs_are_judged_before_and_between_large_ones() -> None:
    order, gate = list[int](), threading.Event()

    def judge(one: _judge.Started, meanwhile: Callable[[int], None]) -> None:
        if not order:
            gate.wait(5)
            order.append(0)
            meanwhile(800)
        order.append(one.size)

    thread = _judge.Judge(judge, lambda: False)
    for owner, size in ((7, 1000), (7, 901), (8, 902), (7, 10)):
        thread.put(_judge.Started(os.dup(0), 1, owner, size, False))
        time.sleep(0.05)
    gate.set()
    end_s = time.monotonic() + 5
    while len(order) < 5 and time.monotonic() < end_s:
        time.sleep(0.01)
    thread.close()
    assert order == [0, 10, 1000, 902, 901]


def test_a_flood_of_large_programs_keeps_no_small_one_alive(
    host: Host, program: Path, tmp_path: Path
) -> None:
    _blocked(host, program)
    for number in range(12):
        with (tmp_path / f"large {number}").open("wb") as file:
            file.truncate((64 << 20) - number - 1)
            os.fchmod(file.fileno(), 0o755)
    for number in range(12):
        with contextlib.suppress(OSError):  # no program, but read like one
            os.posix_spawn(tmp_path / f"large {number}", ["x"], {})
    with subprocess.Popen([program, "60"]) as started:
        assert started.wait(10) == -9
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    known = [key for key in block._execs._programs._known if key[4] > (60 << 20)]
    assert len(known) < 6


def test_where_the_size_is_known_no_other_program_is_read(
    host: Host, program: Path, tmp_path: Path
) -> None:
    with subprocess.Popen([program, "60"]):
        _blocked(host, program)
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    other = tmp_path / "other"
    other.write_bytes(program.read_bytes() + b"more")
    other.chmod(0o755)
    shutil.copy2(program, tmp_path / "copy")
    subprocess.run([other, "0"], check=True)
    with subprocess.Popen([tmp_path / "copy", "60"]) as first:  # judged after the other
        assert first.wait(10) == -9
    assert other.stat().st_size not in {key[4] for key in block._execs._programs._known}


_ELSEWHERE = """
mount -t tmpfs none /mnt && cp "$1" /mnt/copy && for i in 1 2; do /mnt/copy 20; echo $?; done
"""
_IN_MEMORY = """
import os, sys
handle = os.memfd_create("x", 0)
os.write(handle, open(sys.argv[1], "rb").read())
os.execve(handle, ["x", "20"], {})
"""


def test_a_program_on_a_mount_of_a_users_own_is_ended_then_refused(
    host: Host, program: Path
) -> None:
    _blocked(host, program)
    words = ["unshare", "-m", "sh", "-c", _ELSEWHERE, "sh", str(program)]
    said = subprocess.run(words, check=True, capture_output=True, timeout=10).stdout
    assert said.split() == [b"137", b"126"]


def test_a_program_in_memory_is_ended(host: Host, program: Path) -> None:
    _blocked(host, program)
    with subprocess.Popen([sys.executable, "-c", _IN_MEMORY, program]) as started:
        assert started.wait(10) == -9


def test_a_watch_that_has_died_is_replaced(host: Host, program: Path) -> None:
    block_hash.do("a", {"sha256": _digest(program), "minutes": 5}, host)
    block = host.running[block_hash.KIND]
    assert isinstance(block, Block)
    block._execs._stop.set()
    block._execs._thread.join(5)
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
    assert [one.point for one in _programs.mounted(mounts)][1] == b"/srv/\xff x\\n"
    assert _programs.roots(mounts) == [b"/"]
    assert _programs.far(mounts) == {os.makedev(0, 9)}
