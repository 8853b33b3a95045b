"""Sit on the watched host as somebody without rights who wants the agent blind, slow or misused."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent import cli
from agent.collect import collectors
from agent.collect.linux._baseline import differs, look
from agent.collect.linux._hashes import Hashes, hash_file
from agent.collect.linux._kernel import Exec
from agent.collect.linux._table import Table
from agent.collect.linux._touched import Touched
from agent.collect.linux.file_integrity import Guard
from agent.collect.linux.journal import line_of
from agent.errors import AgentError
from agent.follow import follow
from agent.identity import Identity, alone, save
from agent.install import given
from agent.run import Loop
from agent.spool import Spool


def within(seconds: float, act: Callable[[], Any]) -> Any:  # noqa: ANN401  what it gives
    """Give what it gives, or raise what it raised; fail if it takes longer."""
    doing: Future[Any] = Future()

    def do() -> None:
        try:
            doing.set_result(act())
        except OSError as wrong:
            doing.set_exception(wrong)

    threading.Thread(target=do, daemon=True).start()
    return doing.result(seconds)


def known(folder: Path) -> Identity:
    return Identity(folder, "https://house:8601", "acme", "0196f000", "", 50.0, 100.0)


@pytest.fixture
def pipe(tmp_path: Path) -> Any:  # noqa: ANN401  a generator
    """Give a pipe that somebody holds open for writing, and never writes to."""
    place = tmp_path / "pipe"
    os.mkfifo(place)
    held = os.open(place, os.O_RDWR)
    yield place
    with contextlib.suppress(OSError):
        os.write(held, b"\n")
    os.close(held)


def test_what_has_no_end_is_not_hashed(tmp_path: Path, pipe: Path) -> None:
    link = tmp_path / "program"
    link.symlink_to("/dev/zero")
    for place in (pipe, link, Path("/dev/zero")):
        assert within(5, partial(hash_file, str(place))) == ""
        assert within(5, partial(Hashes().of, str(place))) == ""


def test_a_file_that_grows_while_it_is_hashed_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"x" * 2000)
    assert hash_file(str(place)).startswith("SHA256=")
    monkeypatch.setattr("agent.collect.linux._hashes.LARGEST", 1000)
    assert hash_file(str(place)) == ""


def rewrite(place: Path, text: str) -> None:
    """Write as many bytes as there were, and put the time of change back."""
    before = place.stat()
    place.write_text(text)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_change_is_seen_though_size_and_time_are_as_before(tmp_path: Path) -> None:
    place = tmp_path / "passwd"
    place.write_text("eve:1000")
    hashes, before = Hashes(), look(str(place), None)
    known = hashes.of(str(place))
    rewrite(place, "eve:0000")
    after = look(str(place), before)
    assert before is not None
    assert after is not None
    assert differs(before, after) == "content"
    assert hashes.of(str(place)) != known


def test_a_record_with_many_messages_is_a_line() -> None:
    told = {"MESSAGE": ["one", [116, 119, 111], None], "_HOSTNAME": "web"}
    assert line_of(told).endswith(b"one two -")
    assert line_of({"MESSAGE": [116, 119, 111]}).endswith(b"two")
    assert line_of({"MESSAGE": [1000, 5.5]}).endswith(b"1000 5.5")


def test_a_key_is_not_written_through_what_lies_there(tmp_path: Path) -> None:
    folder, other = tmp_path / "data", tmp_path / "others"
    folder.mkdir(mode=0o700)
    other.write_text("")
    other.chmod(0o644)
    (folder / "identity.new").symlink_to(other)
    save(known(folder), "AUTHORITY", "KEY")
    assert other.read_text() == ""
    (folder / "identity.new").write_text("")
    (folder / "identity.new").chmod(0o644)
    save(known(folder), "AUTHORITY", "KEY")
    assert (folder / "identity.pem").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_others_may_write_keeps_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(AgentError, match="others may write"):
        save(known(folder), "AUTHORITY", "KEY")
    with pytest.raises(AgentError, match="others may write"):
        alone(folder)


def test_a_folder_made_by_a_careless_shell_is_still_private(tmp_path: Path) -> None:
    was = os.umask(0o002)
    try:
        for place in (tmp_path / "data" / "look", tmp_path / "data"):
            os.close(alone(place))
    finally:
        os.umask(was)
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_root_enrols_anew_the_account_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, 4321, 4322)
    os.close(alone(folder))
    save(known(folder), "AUTHORITY", "KEY")
    assert {(p.stat().st_uid, p.stat().st_gid) for p in folder.iterdir()} == {(4321, 4322)}


def test_nothing_behind_a_link_is_given_away(tmp_path: Path) -> None:
    folder, mine = tmp_path / "data", (os.geteuid(), os.getegid())
    (folder / "look").mkdir(parents=True)
    (folder / "look" / "agent.lock").touch()
    (folder / "link").symlink_to("/nonexistent")
    (folder / "folder").symlink_to(tmp_path / "other")
    assert given(folder, *mine) == [folder, folder / "look", folder / "look" / "agent.lock"]


_SWAPPING = """
import os, sys
from pathlib import Path
from agent.install import given

folder, secret, seen = Path(sys.argv[1]), Path(sys.argv[2]), []

def swap(event, told):
    # The folder is given away first. Just before the file is, it is another one.
    if event == "os.chown":
        seen.append(told)
    if event == "os.chown" and len(seen) == 2:
        os.link(secret, folder / "draft")
        os.replace(folder / "draft", folder / "file")

sys.addaudithook(swap)
given(folder, 4321, 4322)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_a_file_that_is_swapped_as_it_is_given_away_gives_nothing_else_away(
    tmp_path: Path,
) -> None:
    folder, secret = tmp_path / "data", tmp_path / "shadow"
    folder.mkdir()
    secret.write_text("root")
    (folder / "file").write_text("mine")
    subprocess.run([sys.executable, "-c", _SWAPPING, str(folder), str(secret)], check=True)
    assert (folder / "file").samefile(secret)
    assert secret.stat().st_uid == 0


def test_settings_are_not_written_through_a_link(tmp_path: Path) -> None:
    target, folder = tmp_path / "shadow", tmp_path / "root/etc/inopsio-agent"
    target.write_text("root")
    folder.mkdir(parents=True)
    token = tmp_path / "given"
    token.write_text("secret")
    for name in ("agent.toml", "token"):
        (folder / name).symlink_to(target)
    words = ["install", "--url", "https://a.example", "--token-file", str(token)]
    assert cli.command([*words, "--root", str(tmp_path / "root")]) == 0
    assert target.read_text() == "root"


def test_a_log_that_is_no_file_is_not_waited_for(pipe: Path) -> None:
    with pytest.raises(OSError, match="no regular file"):
        within(5, partial(follow, pipe, {}))


@pytest.mark.skipif(os.geteuid() != 0, reason="makes another's link")
def test_a_log_behind_anothers_link_is_not_read(tmp_path: Path) -> None:
    log, link = tmp_path / "secret", tmp_path / "app.log"
    log.write_text("line\n")
    link.symlink_to(log)
    assert follow(link, {})[0] == [b"line"], "root's own links are followed"
    os.chown(link, 4321, 4321, follow_symlinks=False)
    with pytest.raises(OSError, match="link"):
        follow(link, {})


def test_the_same_failure_is_told_once_in_a_while(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    loop = Loop(spool, [(tmp_path, "syslog")], {"off": list(collectors())}, threading.Event())
    for _ in range(3):
        loop._due.clear()
        loop._due[f"log:{tmp_path}"] = 0.0
        loop.round()
    assert sum(int(str(row["waiting"])) for row in spool.queue()) == 1
    spool.close()


def test_the_hash_is_of_the_program_that_runs(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([program, "60"])
    try:
        real = hash_file(str(program))
        program.unlink()
        program.write_text("harmless")
        for seen in (
            Exec(child.pid, 1),
            Exec(child.pid, 1, ppid=1, argv=b"tool", called=str(program), inode=(1, 2)),
        ):
            told = Table(set()).started(seen, "test")
            assert told["process"]["file"]["path"] == str(program)
            assert told["process"]["file"]["hashes"] in {real, None}
        told = Table(set()).started(Exec(child.pid, 1), "test")
        assert told["process"]["file"]["hashes"] == real
    finally:
        child.kill()
        child.wait()
    ended = Exec(child.pid, 1, ppid=1, argv=b"tool", called=str(program), inode=(1, 2))
    told = Table(set()).started(ended, "test")
    assert told["process"]["file"]["hashes"] is None, "another file lies there now"


class Deaf:
    """An ear that is told what to hear and hears nothing."""

    name = "deaf"

    def __init__(self) -> None:
        self.folders: list[str] = []

    def add(self, folder: str) -> None:
        self.folders.append(folder)

    def forget(self, folder: str) -> None:
        return

    def read(self, timeout_s: float) -> list[Touched]:
        return []

    def close(self) -> None:
        return


@pytest.mark.skipif(os.geteuid() != 0, reason="makes another's folder")
def test_a_folder_filled_by_its_owner_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.collect.linux.file_integrity.MOST_FILES", 50)
    for name, count in (("home", 60), ("root", 5)):
        (tmp_path / name).mkdir()
        for n in range(count):
            (tmp_path / name / f"{n}").touch()
    os.chown(tmp_path / "home", 4321, 4321)
    ear = Deaf()
    guard = Guard(ear, {}, is_known=True)
    events = guard.begin([str(tmp_path / "*")])
    assert str(tmp_path / "root") in ear.folders
    assert str(tmp_path / "root" / "4") in guard.files
    assert 45 < len(guard.files) <= 50
    limited = [e for e in events if e["metadata"].get("event_code") == "source_limited"]
    assert len(limited) == 1
    (tmp_path / "home" / "more").touch()
    told = guard.touched([Touched(str(tmp_path / "home" / "more"), 8, 0)], {})
    assert [e["file"]["name"] for e in told] == ["more"]
    assert len(guard.files) <= 50
