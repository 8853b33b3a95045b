"""Capture what a compiled sender puts on loopback: everything arrives, drops are counted."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines.network.headers import read_headers
from pipelines.network.ring import Ring, _link_of
from pipelines.network.sensor import watch_blocks
from pipelines.network.tunnels import LAYERS
from storage.errors import Unavailable

SENDER = Path(__file__).with_name("loopback_sender.c")


def _may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError):
        return False
    return True


needs_packets = pytest.mark.skipif(not _may_capture(), reason="needs Linux and CAP_NET_RAW")


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    place = tmp_path_factory.mktemp("sender") / "send"
    subprocess.run([compiler, "-O2", "-o", str(place), str(SENDER)], check=True)
    return place


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def received(ring: Ring, port: int, count: int, until_s: float) -> int:
    """Read until that many datagrams to the port were seen, or for so long."""
    seen, end = 0, time.monotonic() + until_s
    while seen < count and time.monotonic() < end:
        block = ring.take(0.05)
        if block is not None:
            seen += int(np.sum(read_headers(block, LAYERS).dst_port == port))
    ring.count()
    return seen


@needs_packets
def test_every_datagram_on_loopback_arrives_once_with_its_size_and_time(
    sender: Path, port: int
) -> None:
    with Ring("lo") as ring:
        before_ns = time.time_ns()
        subprocess.run([str(sender), str(port), "500", "10000", "100"], check=True)
        hits: list[tuple[int, int]] = []
        end_s = time.monotonic() + 10
        while len(hits) < 500 and time.monotonic() < end_s:
            if (b := ring.take(0.3)) is not None:
                rows = np.flatnonzero(read_headers(b, LAYERS).dst_port == port).tolist()
                hits += [(int(b.wire[row]), int(b.time_ns[row])) for row in rows]
    assert len(hits) == 500
    assert {wire for wire, _ in hits} == {14 + 20 + 8 + 100}
    assert all(before_ns - 10**9 < at <= time.time_ns() for _, at in hits)


@needs_packets
def test_twenty_thousand_a_second_are_read_without_a_drop(sender: Path, port: int) -> None:
    count, rate = 20_000, 20_000
    command = [str(sender), str(port), str(count), str(rate), "300"]
    with Ring("lo") as ring:
        thread = threading.Thread(target=lambda: subprocess.run(command, check=True))
        thread.start()
        seen = received(ring, port, count, 15)
        thread.join()
        assert (seen, ring.drops) == (count, 0)


@needs_packets
def test_what_nobody_reads_in_time_is_counted_as_dropped(sender: Path, port: int) -> None:
    with Ring("lo", blocks=2) as ring:
        subprocess.run([str(sender), str(port), "8000", "1000000", "1000"], check=True)
        seen = received(ring, port, 8_000, 1.0)
        assert seen < 8_000
        assert ring.drops >= 8_000 - seen


@needs_packets
def test_rings_of_one_group_share_the_flows(sender: Path) -> None:
    ports = range(20_000, 20_032)
    group = os.getpid()
    seen = [0, 0]
    with Ring("lo", fanout=group) as one, Ring("lo", fanout=group) as other:
        rings = (one, other)
        for port in ports:
            subprocess.run([str(sender), str(port), "5", "100000", "64"], check=True)
            _drain(rings, ports, seen)
        end_s = time.monotonic() + 10
        while sum(seen) < 5 * len(ports) and time.monotonic() < end_s:
            _drain(rings, ports, seen)
    assert sum(seen) == 5 * len(ports)
    assert min(seen) > 0


def _drain(rings: Sequence[Ring], ports: range, seen: list[int]) -> None:
    """Count what has come: what others send over loopback meanwhile must not fill the rings."""
    for place, ring in enumerate(rings):
        while (block := ring.take(0.01)) is not None:
            seen[place] += int(np.isin(read_headers(block, LAYERS).dst_port, list(ports)).sum())


@needs_packets
def test_the_sensor_makes_flows_of_what_it_sees_live(sender: Path, port: int) -> None:
    with Ring("lo") as ring:
        subprocess.run([str(sender), str(port), "70", "10000", "100"], check=True)
        end_s = time.monotonic() + 2  # what others send meanwhile comes between
        parts = list(watch_blocks(ring.blocks(lambda: time.monotonic() > end_s), others=()))
    rows = [row for p in parts for row in p.flows.iter_rows(named=True) if row["dst_port"] == port]
    assert [(row["packets_out"], row["bytes_out"]) for row in rows] == [(70, 70 * 142)]


@needs_packets
def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="nowhere0"):
        Ring("nowhere0")


def test_an_interface_that_nothing_reads_is_refused_at_once() -> None:
    with pytest.raises(OSError, match="ARPHRD 803"):
        _link_of(803)  # a radio in monitor mode
