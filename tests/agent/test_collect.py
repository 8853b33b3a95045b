"""See real processes, sockets, files and accounts of this very host, once each."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.collect import Event, Notes, Out, collectors
from agent.collect.elsewhere import connections as their_connections
from agent.collect.elsewhere import processes as their_processes
from agent.collect.linux import connections, file_integrity, processes
from agent.collect.linux._bpfexec import BpfExecs
from agent.collect.linux._kernel import Exec, Missed
from agent.collect.linux._procconn import ProcConnector
from agent.errors import AgentError

NOW_US = 1_790_000_000_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="kernel events are for root")


def can(make: Callable[[], Any]) -> bool:
    """Answer whether this kernel and these rights allow a source."""
    try:
        make().close()
    except (OSError, ValueError):
        return False
    return True


class _Watched:
    """A watcher at work in a thread, as the agent runs it."""

    def __init__(self, module: ModuleType, options: dict[str, Any], notes: Notes | None) -> None:
        self.out, self.stop = Out(notes), threading.Event()
        self.events: list[Event] = []
        self._thread = threading.Thread(target=module.watch, args=(self.out, self.stop, options))
        self._thread.start()

    def until(self, wanted: Callable[[Event], bool], wait_s: float = 15) -> Event:
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s:
            self.events += self.out.take()[0].events
            found = next((e for e in self.events if wanted(e)), None)
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not seen in {wait_s} s, but: {self.events[-5:]}")

    def end(self) -> Notes:
        self.stop.set()
        self._thread.join()
        seen = self.out.take()[0]
        self.events += seen.events
        return seen.notes


@contextmanager
def watched(
    module: ModuleType, options: dict[str, Any], notes: Notes | None = None
) -> Iterator[_Watched]:
    at_work = _Watched(module, options, notes)
    try:
        yield at_work
    finally:
        at_work.end()


def code(code: str) -> Callable[[Event], bool]:
    return lambda e: e["metadata"].get("event_code") == code


def _of(path: Path) -> Callable[[Event], bool]:
    return lambda e: e.get("file", {}).get("path") == str(path)


def test_every_collector_is_found_by_folder_for_its_system() -> None:
    assert set(collectors("win32")) == {
        "processes",
        "connections",
        "event_log",
        "services",
        "sign_ins",
    }
    assert set(collectors("linux")) == {
        "processes", "connections", "file_integrity", "logins", "journal", "packages", "accounts",
        "services", "kernel", "configuration", "tamper", "queries",
    }  # fmt: skip


def test_a_process_is_seen_to_start_and_end_once_by_comparison() -> None:
    notes = their_processes.collect({}, NOW_US).notes
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = their_processes.collect(notes, NOW_US)
    mine = [e for e in started.events if e["process"]["pid"] == child.pid]
    assert [e["activity_id"] for e in mine] == [1]
    assert mine[0]["process"]["cmd_line"].endswith("-c input()")
    child.communicate(b"\n")
    ended = their_processes.collect(started.notes, NOW_US)
    assert [e["activity_id"] for e in ended.events if e["process"]["pid"] == child.pid] == [2]


def test_a_listening_socket_is_seen_once_by_comparison() -> None:
    notes: Notes = their_connections.collect({}, NOW_US).notes
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = their_connections.collect(notes, NOW_US)
        # What somebody else had at that port before may close now.
        mine = [e["activity_id"] for e in seen.events if e["src_endpoint"]["port"] == port]
        assert [one for one in mine if one != 2] == [7]
        again = their_connections.collect(seen.notes, NOW_US)
        assert [e for e in again.events if e["src_endpoint"]["port"] == port] == []


@as_root
@pytest.mark.parametrize("source", ["bpf", "procconn"])
def test_a_process_is_told_with_parent_hash_and_end(source: str) -> None:
    if not can(processes.SOURCES[source]):
        pytest.skip(f"this kernel has no {source}")
    with watched(processes, {"sources": [source]}) as at_work:
        at_work.until(code("source_opened"))
        words = [sys.executable, "-c", "input()", "a b"]
        child = subprocess.Popen(words, stdin=subprocess.PIPE)
        start = at_work.until(
            lambda e: e.get("process", {}).get("pid") == child.pid and e["activity_id"] == 1
        )
        child.communicate(b"\n")
        end = at_work.until(
            lambda e: e.get("process", {}).get("pid") == child.pid and e["activity_id"] == 2
        )
    told = start["process"]
    assert told["cmd_line"] == f"{sys.executable} -c input() a b"
    assert told["file"]["path"] == os.path.realpath(sys.executable)
    assert told["file"]["hashes"].startswith("SHA256=")
    assert told["parent_process"]["pid"] == os.getpid()
    assert told["working_directory"] == str(Path.cwd())
    assert (end["process"]["uid"], end["exit_code"]) == (told["uid"], 0)


@as_root
def test_the_shortest_life_has_its_command_line_by_ebpf() -> None:
    if not can(BpfExecs):
        pytest.skip("this kernel has no eBPF for us")
    source = BpfExecs()
    try:
        for n in range(20):
            subprocess.run(["/bin/true", f"life {n}"], check=True)
        time.sleep(0.1)
        seen = [e for e in source.read(1.0) if isinstance(e, Exec)]
    finally:
        source.close()
    mine = [e.argv for e in seen if e.argv is not None and e.argv.startswith(b"/bin/true\0life")]
    assert mine == [b"/bin/true\0life %d\0" % n for n in range(20)]


@as_root
def test_what_the_kernel_had_no_room_for_is_told_as_an_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not can(ProcConnector):
        pytest.skip("no proc connector for us")
    monkeypatch.setattr("agent.collect.linux._procconn._BUFFER", 2048)
    source = ProcConnector()
    try:
        for _ in range(60):
            subprocess.run(["/bin/true"], check=True)
        missed = [e for e in source.read(1.0) if isinstance(e, Missed)]
    finally:
        source.close()
    assert missed
    assert all(0 < m.to_us - m.from_us < 60_000_000 for m in missed)


@as_root
def test_a_restart_tells_no_running_process_twice() -> None:
    with watched(processes, {}) as first:
        first.until(code("source_opened"))
        first.until(lambda e: e.get("process", {}).get("pid") == os.getpid())
        notes = first.end()
    notes = json.loads(json.dumps(notes))
    with watched(processes, {}, notes) as second:
        second.until(code("source_opened"))
        second.end()
    assert [e for e in second.events if e.get("process", {}).get("pid") == os.getpid()] == []


@as_root
def test_a_connection_is_told_from_both_ends_with_process_and_community_id() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with watched(connections, {"every_s": 0.1}) as at_work:
            listens = at_work.until(
                lambda e: e["activity_id"] == 7 and e["src_endpoint"]["port"] == port
            )
            client = socket.create_connection(("127.0.0.1", port))
            mine = client.getsockname()[1]
            opened = at_work.until(
                lambda e: (
                    e["activity_id"] == 1
                    and e["src_endpoint"]["port"] == mine
                    and e["connection_info"]["direction"] == "outbound"
                )
            )
            client.close()
            at_work.until(lambda e: e["activity_id"] == 2 and e["src_endpoint"]["port"] == mine)
    assert listens["process"]["pid"] == opened["process"]["pid"] == os.getpid()
    assert opened["dst_endpoint"] == {"ip": "127.0.0.1", "port": port}
    assert opened["connection_info"]["community_uid"].startswith("1:")


@as_root
def test_a_connection_between_two_looks_is_told_as_it_ends() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        watched(connections, {"every_s": 1.0}) as at_work,
    ):
        port = server.getsockname()[1]
        at_work.until(lambda e: e["activity_id"] == 7 and e["src_endpoint"]["port"] == port)
        client = socket.create_connection(("127.0.0.1", port))
        mine = client.getsockname()[1]
        server.accept()[0].close()
        client.close()
        found = at_work.until(lambda e: mine == e["src_endpoint"]["port"])
    assert found["activity_id"] == 1


@pytest.mark.parametrize("by", ["fanotify", "inotify"])
def test_a_changed_file_is_told_with_both_hashes(tmp_path: Path, by: str) -> None:
    if by == "fanotify" and os.geteuid() != 0:
        pytest.skip("fanotify is for root")
    kept, folder = tmp_path / "watched" / "a.conf", tmp_path / "watched" / "new"
    kept.parent.mkdir()
    kept.write_text("one")
    with watched(file_integrity, {"paths": [str(kept.parent)], "by": [by]}) as at_work:
        at_work.until(code("source_opened"))
        subprocess.run(["sh", "-c", f"echo two > {kept}; sleep 0.5"], check=True)
        changed = at_work.until(_of(kept))
        folder.mkdir()
        time.sleep(0.4)
        (folder / "b").write_text("x")
        made = at_work.until(_of(folder / "b"))
        kept.unlink()
        at_work.until(lambda e: _of(kept)(e) and e["activity_id"] == 4)
    assert (changed["activity_id"], made["activity_id"]) == (3, 1)
    assert changed["hash_before"].startswith("SHA256=7692C3AD3540BB803C020B3AEE66CD88")
    assert changed["hash_after"] != changed["hash_before"]
    if by == "fanotify":
        assert changed["actor"]["process"]["cmd_line"].startswith("sh -c echo two")
        assert changed["actor"]["user"]["name"] == "root"


def test_a_file_changed_while_the_agent_was_off_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    options = {"paths": [str(tmp_path)], "by": ["inotify"]}
    with watched(file_integrity, options) as first:
        first.until(code("source_opened"))
        notes = json.loads(json.dumps(first.end()))
    file.write_text("other")
    with watched(file_integrity, options, notes) as second:
        assert second.until(_of(file))["activity_id"] == 3
    assert not any(_of(file)(e) for e in first.events)


def test_a_collector_that_lacks_a_name_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(their_processes, "NAME")
    with pytest.raises(AgentError, match="processes: it lacks 'NAME'"):
        collectors("win32")
