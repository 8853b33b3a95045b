"""Open more sockets than a watcher should hold, and close them while nobody looks."""

import json
import os
import socket
import time

import pytest

from agent.collect import Event
from agent.collect.linux import _sockdiag, _sockets, connections
from agent.collect.linux._sockdiag import SIZE, Endings, Raw
from agent.collect.linux.connections import Known
from tests.agent.test_collect import code, watched

NOW_US = 1_790_000_000_000_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="kernel events are for root")


def sock(number: int, uid: int = 0, here: int = 40_000, there: int = 443, state: int = 1) -> Raw:
    """Give a TCP socket as the kernel would, its cookie the number."""
    ports = here.to_bytes(2, "big") + there.to_bytes(2, "big")
    addresses = bytes([10, 0, 0, 1, *[0] * 12, 10, 9, 8, 7, *[0] * 12])
    body = bytes([socket.AF_INET, state, 0, 0]) + ports + addresses + bytes(4)
    body += number.to_bytes(8, "little") + bytes(12) + uid.to_bytes(4, "little")
    return "tcp", body.ljust(SIZE, b"\0")


def kinds(events: list[Event]) -> list[int]:
    return [e["activity_id"] for e in events if e["class_uid"] == 4001]


def test_each_socket_is_told_once_and_its_end_too() -> None:
    known, both = Known({}), [sock(1), sock(2)]
    assert kinds(known.compare(both, [], NOW_US)) == [1, 1]
    assert kinds(known.compare(both, [], NOW_US)) == []
    (closed,) = known.compare(both[:1], [], NOW_US)
    assert closed["activity_id"] == 2
    assert closed["dst_endpoint"] == {"ip": "10.9.8.7", "port": 443}


def test_an_end_that_the_kernel_tells_late_is_not_told_twice() -> None:
    known = Known({})
    known.compare([sock(1)], [], NOW_US)
    assert kinds(known.compare([], [], NOW_US)) == [2]
    assert kinds(known.ended([sock(1), sock(2)], NOW_US)) == [1, 2], "only the other one"
    assert known._gone == {}


def test_what_closed_while_the_agent_was_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Known({})
    listener = sock(3, here=80, there=0, state=10)
    opened = first.compare([sock(1, here=40_001), sock(2), listener, sock(4, here=80)], [], NOW_US)
    notes = json.loads(json.dumps(first.notes(NOW_US)))
    second = Known(notes).compare([sock(2)], [], NOW_US)
    assert kinds(second) == [2, 2, 2]
    for closed in second:
        (was,) = [
            e
            for e in opened
            if e["src_endpoint"] == closed["src_endpoint"]
            and e["connection_info"] == closed["connection_info"]
        ]
        assert (was["actor"], was.get("dst_endpoint")) == (
            closed["actor"],
            closed.get("dst_endpoint"),
        )
    monkeypatch.setattr("agent.collect.linux._proc.boot_mark", lambda: "another")
    assert kinds(Known(notes).compare([sock(2)], [], NOW_US)) == [1], "a boot closes all"


def test_the_number_is_bounded_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockets, "MOST", 10)
    known, many = Known({}), [sock(n) for n in range(25)]
    events = known.compare(many, [], NOW_US)
    (limited,) = [e for e in events if code("source_limited")(e)]
    assert (len(kinds(events)), limited["record_count"]) == (10, 15)
    assert known.compare(many, [], NOW_US) == []
    assert kinds(known.compare(many[:24], [many[24]], NOW_US)) == [1, 2], "told as it ends"
    assert kinds(known.compare(many[5:15], [], NOW_US)) == [2] * 5
    assert kinds(known.compare(many[5:15], [], NOW_US)) == [1] * 5, "there is room again"


def test_one_account_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockets, "MOST", 10)
    monkeypatch.setattr(_sockets, "MOST_OF_ONE", 6)
    known = Known({})
    known.compare([sock(n, uid=1000) for n in range(20)], [], NOW_US)
    events = known.compare([*(sock(n, uid=1000) for n in range(20)), sock(99)], [], NOW_US)
    assert [e["actor"]["user"]["uid"] for e in events if e["class_uid"] == 4001] == ["0"]


def test_a_look_tells_so_many_and_the_next_one_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockets, "MOST_A_LOOK", 10)
    known, many = Known({}), [sock(n) for n in range(25)]
    assert [len(known.compare(many, [], NOW_US)) for _ in range(4)] == [10, 10, 5, 0]


def test_very_many_are_noted_in_few_letters() -> None:
    known = _sockets.Sockets()
    new, _, _ = known.compare(sock(n) for n in range(150_000))
    assert len(new) == _sockets.MOST_A_LOOK
    for raw in new:
        known.keep(raw, _sockets.Held(*raw, is_inbound=False))
    assert len(known.noted()) < 40 * len(new)


@as_root
def test_ends_for_which_the_kernel_had_no_room_are_an_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_sockdiag, "_BUFFER", 2048)
    with socket.create_server(("127.0.0.1", 0)) as server:
        endings = Endings()
        try:
            end_s = time.monotonic() + 10
            while not endings.missed_since_us and time.monotonic() < end_s:
                for _ in range(60):
                    socket.create_connection(server.getsockname()).close()
                    server.accept()[0].close()
                endings.read()
            told = connections._overrun(endings)
        finally:
            endings.close()
    assert told["metadata"]["event_code"] == "kernel_overrun"
    assert 0 < told["end_time_us"] - told["start_time_us"] < 60_000_000
    assert endings.missed_since_us == 0


@as_root
def test_an_overrun_is_told_by_the_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockdiag, "_BUFFER", 2048)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        watched(connections, {"every_s": 1.0}) as at_work,
    ):
        port = server.getsockname()[1]
        at_work.until(lambda e: e["activity_id"] == 7 and e["src_endpoint"]["port"] == port)
        for _ in range(60):
            socket.create_connection(server.getsockname()).close()
            server.accept()[0].close()
        at_work.until(code("kernel_overrun"))


@as_root
def test_a_listener_that_ends_while_nobody_looks_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with watched(connections, {"every_s": 0.1}) as first:
            first.until(lambda e: e["activity_id"] == 7 and e["src_endpoint"]["port"] == port)
            notes = json.loads(json.dumps(first.end()))
    with watched(connections, {"every_s": 0.1}, notes) as second:
        closed = second.until(
            lambda e: e["class_uid"] == 4001 and e["src_endpoint"]["port"] == port
        )
        second.until(code("kernel_overrun"))
    assert closed["activity_id"] == 2
