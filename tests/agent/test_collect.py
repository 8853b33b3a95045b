"""See real processes and sockets of this very host, once each."""

import socket
import subprocess
import sys

from agent.collect import Notes, collectors, connections, processes

NOW_US = 1_790_000_000_000_000


def test_every_collector_is_found_by_folder() -> None:
    assert set(collectors()) == {"processes", "connections"}


def test_a_process_is_seen_to_start_and_end_once() -> None:
    notes = processes.collect({}, NOW_US).notes
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = processes.collect(notes, NOW_US)
    mine = [e for e in started.events if e["process"]["pid"] == child.pid]
    assert [e["activity_id"] for e in mine] == [1]
    assert mine[0]["process"]["cmd_line"].endswith("-c input()")
    child.communicate(b"\n")
    ended = processes.collect(started.notes, NOW_US)
    assert [e["activity_id"] for e in ended.events if e["process"]["pid"] == child.pid] == [2]


def test_a_listening_socket_is_seen_once() -> None:
    notes: Notes = connections.collect({}, NOW_US).notes
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        seen = connections.collect(notes, NOW_US)
        mine = [e for e in seen.events if e["src_endpoint"]["port"] == port]
        assert [e["activity_id"] for e in mine] == [7]
        again = connections.collect(seen.notes, NOW_US)
        assert [e for e in again.events if e["src_endpoint"]["port"] == port] == []
