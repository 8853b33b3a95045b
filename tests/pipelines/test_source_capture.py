"""Listen at loopback as the sensor does; keep what it says of drops, tenant by tenant."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from deploy.cli.sensor import EventFile
from pipelines.network.capture import read_packets
from pipelines.network.packets import PacketBlock
from pipelines.network.ring import Ring
from pipelines.parsing import parse_stream
from pipelines.sinks import captures
from pipelines.sources import Chunk, capture
from storage import telemetry
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.outcome import Outcome
from storage.schema import EventBatch
from storage.settings import Settings
from storage.tenant import Role, Scope
from tests.api.conftest import Front, front
from tests.pipelines.network_frames import capture as frames_of
from tests.pipelines.network_frames import tcp
from tests.pipelines.test_network_ring import needs_packets, port, sender
from tests.shared import ROOT

__all__ = ["front", "port", "sender"]
UNIT = ROOT / "deploy/sensor/inopsio-sensor@.service"
T0_S = 1_700_000_000


def batch_of(chunk: Chunk | bytes, tenant: str = "acme") -> EventBatch:
    value = chunk if isinstance(chunk, bytes) else chunk.value
    ((batch, rejects),) = parse_stream(
        "ocsf_json", [value], tenant_id=tenant, source="s", ingested_at_us=time.time_ns() // 1000
    )
    assert rejects == []
    return batch


def said(second: int, packets: object, dropped: object, code: str = "capture_counted") -> bytes:
    return (
        f'{{"time":{(T0_S + second) * 1000},"class_uid":0,"activity_id":0,'
        f'"metadata.log_name":"capture","metadata.event_code":"{code}","device.hostname":"tap1",'
        f'"unmapped.interface":"eth0","unmapped.started_us":"{T0_S}000000",'
        f'"unmapped.packets":"{packets}","unmapped.dropped":"{dropped}"}}\n'
    ).encode()


def counts(database: Database, scope: Scope) -> list[tuple[Any, ...]]:
    with database.app(scope) as tx:
        rows = select(tx, "captures_list", limit=9)
    return [(r["sensor"], r["packets"], r["dropped"], r["lost_at"] is not None) for r in rows]


def write(database: Database, *values: bytes, tenant: str = "acme") -> None:
    with database.writer() as tx:
        captures.write(tx, Outcome("events", (), tuple(batch_of(v, tenant) for v in values)))


@needs_packets
def test_what_passes_becomes_events_and_what_the_kernel_dropped_an_interval(
    sender: Path, port: int
) -> None:
    with Ring("lo", blocks=8) as ring:
        # Nobody reads yet, and eight blocks hold some 16,000 of these, or of what others send.
        subprocess.run([str(sender), str(port), "60000", "200000", "400"], check=True)
        source = capture.CaptureSource(ring, "lo", "tap1")
        chunks = source.chunks({})
        first = next(chunks)
        subprocess.run([str(sender), str(port), "50", "10000", "400"], check=True)
        threading.Timer(0.5, source.close).start()
        rest = list(chunks)
    frame = pl.concat([batch_of(c).frame for c in (first, *rest)], how="diagonal")
    told = frame.filter(pl.col("metadata.event_code") == "packets_dropped").row(0, named=True)
    assert int(told["unmapped.lost"]) == source.drops > 10_000
    assert int(told["unmapped.since_us"]) < told["time"].timestamp() * 1e6
    flows = frame.filter((pl.col("class_uid") == 4001) & (pl.col("dst_endpoint.port") == port))
    assert flows.get_column("traffic.packets_out").sum() > 1_000
    places = [(c.position, c.offset) for c in (first, *rest)]
    assert places == sorted(set(places))
    assert {c.source for c in rest} == {first.source}


class Played:
    """Give a capture's blocks as if they came from an interface."""

    def __init__(self, data: bytes) -> None:
        self.data, self.packets, self.drops = data, 1, 0

    def beats(self, until: Callable[[], bool]) -> Iterator[PacketBlock]:
        del until
        yield from read_packets([self.data])

    def count(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_the_sensor_let_go_itself_is_told_with_the_counts() -> None:
    queue = b"\0\x13\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1" * 60
    source = capture.CaptureSource(Played(frames_of([tcp(queue, dport=53)])), "lo", "tap1")
    frame = pl.concat([batch_of(c).frame for c in source.chunks({})], how="diagonal")
    told = frame.filter(pl.col("metadata.event_code") == "capture_counted").row(-1, named=True)
    assert told["unmapped.let_go"] == "44"
    assert told["message"] == "1 packets of lo, 0 dropped, 44 messages or flows let go"


@needs_packets
def test_the_command_keeps_events_until_it_is_told_to_stop(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "deploy", "sensor", "lo", "--out", str(tmp_path)]
    child = subprocess.Popen(words, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 20
        while not (tmp_path / "metrics.prom").exists() and time.monotonic() < until:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        _, words_said = child.communicate(timeout=20)
    finally:
        child.kill()
    assert (child.returncode, b"dropped by the kernel" in words_said) == (0, True)
    codes = batch_of((tmp_path / "events.ndjson").read_bytes()).frame["metadata.event_code"]
    assert (codes[0], codes[-1]) == ("capture_started", "capture_counted")
    assert 'interface="lo"' in (tmp_path / "metrics.prom").read_text()


def test_a_source_without_an_interface_says_which_setting_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="INOPSIO_CAPTURE_INTERFACE"):
        capture.open(Settings(data_dir=tmp_path))


def test_the_file_of_events_never_holds_more_than_its_bound(tmp_path: Path) -> None:
    with EventFile(tmp_path / "e", 1_000) as kept:
        for n in range(100):
            kept.add(b"%90d\n" % n)
    files = sorted(tmp_path.iterdir())
    lines = [int(line) for f in reversed(files) for line in f.read_bytes().splitlines()]
    assert (len(files), sum(f.stat().st_size for f in files) <= 1_000) == (2, True)
    assert lines == list(range(100))[-len(lines) :]


def test_a_sensor_is_known_by_its_latest_word_and_to_its_tenant_alone(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    write(database, said(60, 900, 7, "packets_dropped"), said(30, 400, 0))
    write(database, said(45, 500, 0))  # came late: changes nothing
    write(database, said(60, 900, 7, "packets_dropped"))  # came twice: as nothing
    assert counts(database, acme) == [("tap1", 900, 7, True)]
    assert counts(database, bolt) == []
    write(database, said(90, 20, 0))  # began anew; that it lost packets stays known
    assert counts(database, acme) == [("tap1", 20, 0, True)]


@pytest.mark.parametrize("packets", ["-1", "many", "99999999999999999999999", ""])
def test_counts_that_are_none_are_left_out(
    packets: str, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    write(database, said(1, packets, 0))
    assert counts(database, two_tenants[0]) == []


def test_metrics_show_the_drops_of_the_asking_tenant_only(front: Front) -> None:
    write(front.database, said(1, 900, 7))
    series = 'inopsio_capture_dropped_total{tenant="%s",sensor="tap1",interface="eth0"}'
    own = front.bearer(front.acme, Role.OPERATOR).get("/v1/metrics").text
    other = front.bearer(front.bolt, Role.OPERATOR).get("/v1/metrics").text
    assert series % "acme" + " 7\n" in own
    assert "tap1" not in other
    telemetry.replace("inopsio_capture_dropped_total", "acme", {})
    assert "tap1" not in telemetry.exposition(tenant="acme").split("dropped_total")[-1]


def unit_words() -> Iterator[tuple[str, str]]:
    for line in UNIT.read_text().splitlines():
        name, _, value = line.partition("=")
        yield name, value


def test_the_unit_has_one_right_and_no_way_out() -> None:
    words = dict(unit_words())
    assert words["CapabilityBoundingSet"] == words["AmbientCapabilities"] == "CAP_NET_RAW"
    assert words["RestrictAddressFamilies"] == "AF_PACKET"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_exposure_of_the_unit_is_three_at_most() -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]


def test_silent_and_made_up_sensors_go(
    database: Database, two_tenants: tuple[Scope, Scope], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "MOST_HELD", 3)
    write(database, said(-40 * 86_400, 1, 0).replace(b"tap1", b"silent"))
    assert [name for name, *_ in counts(database, two_tenants[0])] == ["silent"]
    now = int(time.time()) - T0_S
    for n in range(5):
        write(database, said(now - 10 + n, 1, 0).replace(b"tap1", b"tap%d" % n))
    assert {name for name, *_ in counts(database, two_tenants[0])} == {"tap2", "tap3", "tap4"}
