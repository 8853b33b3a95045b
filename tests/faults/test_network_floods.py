"""Flood the sensor in every way that is known, and hold what a packet and a byte cost against calm.

Calm is the shared captures, interleaved. A flood costs more than calm traffic only if both a packet
and a byte of it do: the lesser of the two factors counts. Those beyond twice are named here with
what they cost: nearly all of them make a row of every few bytes, as their kind of message does.
"""

import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from benchmarks.sensor import put_together
from pipelines.network.capture import read_packets
from pipelines.network.sensor import watch
from tests.pipelines.network_floods import FLOODS
from tests.pipelines.network_frames import capture
from tests.shared import shared_data

pytestmark = pytest.mark.faults

PACKETS: Final = 5_000
USUAL: Final = 2.0
NOISE: Final = 1.6
"""Two cores that others use as well: the same flood's factor moves by this much."""
DEARER: Final = {
    "answered_syn_flood": 3.4, "certificates": 4, "cip_services": 10, "dnp3_frames": 5.5,
    "dns_addresses": 3, "dns_broken_letters": 6.5, "dns_in_tcp": 4.7, "dns_labels": 5,
    "dns_pointers": 6.5, "dtls_pieces": 2.4, "fragments_alone": 2.8, "http2_empty_data": 2.8,
    "http2_huffman": 3.4, "http2_indexed_fields": 2.4, "http2_settings": 2.8,
    "industrial_datagrams": 5.7, "modbus_functions": 5.5, "pipelined_requests": 6.2,
    "quic_initials": 2.6, "s7_frames": 6.5, "small_hellos": 9.5, "ssdp_searches": 3.4,
    "ssh_banners": 5.8,
}  # fmt: skip
"""What these cost, as measured on 30 November 2026."""
MOST_MB: Final = 400

CHILD: Final = """
import resource, sys
from itertools import chain, islice
from pipelines.network.sensor import watch
from tests.pipelines.network_floods import FLOODS
from tests.pipelines.network_frames import capture
floods = [make() for make in FLOODS.values()]
head = capture([])
def chunks():
    yield head
    for _ in range(int(sys.argv[1])):
        for one in floods:
            yield capture(islice(one, 500))[len(head):]
for seen in watch(chunks()):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seen.evicted)
"""


def spent(data: Iterable[bytes]) -> float:
    """Give the CPU-seconds of reading, the lesser of two."""
    pieces = list(data)
    least = float("inf")
    for _ in range(2):
        before = time.process_time()
        for _ in watch(pieces):
            pass
        least = min(least, time.process_time() - before)
    return least


@pytest.mark.timeout(3_600)
def test_no_flood_costs_more_than_is_stated(tmp_path: Path) -> None:
    calm = tmp_path / "calm.pcap"
    packets = put_together(shared_data("pcap"), calm, 32)
    data = calm.read_bytes()
    assert sum(map(len, read_packets([data]))) == packets
    took = spent([data])
    per_packet, per_byte = took / packets, took / len(data)
    print(f"\ncalm: {per_packet * 1e6:.2f} us a packet, {per_byte * 1e9:.1f} ns a byte")
    beyond = {}
    for name, make in FLOODS.items():
        flood = capture(islice(make(), PACKETS))
        took = spent([flood])
        by_packet, by_byte = took / PACKETS / per_packet, took / len(flood) / per_byte
        print(f"{name:28} {by_packet:7.1f} x a packet {by_byte:7.1f} x a byte")
        if min(by_packet, by_byte) > DEARER.get(name, USUAL) * NOISE:
            beyond[name] = by_packet, by_byte
    assert beyond == {}


@pytest.mark.timeout(3_600)
def test_all_floods_at_once_leave_memory_flat() -> None:
    command = [sys.executable, "-c", CHILD]
    said = [
        subprocess.run([*command, rounds], check=True, capture_output=True, text=True).stdout
        for rounds in ("4", "16")
    ]
    (short_mb, _), (long_mb, evicted) = (map(float, line.split()) for line in said)
    print(f"\nall floods at once: {short_mb:.0f} MB, four times as long: {long_mb:.0f} MB")
    assert long_mb < MOST_MB
    assert evicted > 0
