"""Measure the flow table: packets per CPU-second and memory, beside a named peer in the same run.

    python -m benchmarks.flows [CAPTURES_DIR] [--megabytes 100]

The Ethernet captures of the shared data are put into one file, repeated until it has the size
asked for; each repetition is one day later, so that flows of different rounds are different flows.
The peer is `tshark -q -z conv,tcp -z conv,udp` where tshark is installed, else a loop of scapy's
RawPcapReader with `struct` and a dictionary (about what a careful script does). Each runs in a
process of its own; CPU-seconds are user + system of that process and its children.
"""

import argparse
import contextlib
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from scapy.utils import RawPcapReader

from pipelines.network.capture import read_packets
from pipelines.network.headers import read_headers
from pipelines.network.sensor import watch
from pipelines.network.tunnels import LAYERS
from storage.errors import InvalidBatch

CAPTURES: Final = Path(os.environ.get("INOPSIO_SHARED", "../shared")) / "data" / "pcap"
CHUNK_BYTES: Final = 1 << 20
DAY_S: Final = 86_400
WARM_UP_BYTES: Final = 200_000
ROUNDS: Final = 3


def put_together(folder: Path, target: Path, megabytes: int) -> int:
    """Write one big Ethernet capture from all of a folder; give its number of packets."""
    records: list[tuple[int, bytes]] = []
    for file in sorted(folder.glob("*.pcap*")):
        try:
            for block in read_packets([file.read_bytes()]):
                first = int(block.time_ns[0])
                for row in range(len(block)):
                    if block.link[row] == 1:
                        start, kept = int(block.start[row]), int(block.captured[row])
                        body = block.octets[start : start + kept]
                        moment = (int(block.time_ns[row]) - first) // 1_000
                        wire = int(block.wire[row])
                        records.append((moment, struct.pack("<II", kept, wire) + body))
        except InvalidBatch as refused:
            print(f"{file.name}: {refused}", file=sys.stderr)
    records.sort(key=lambda record: record[0])
    packets = 0
    with target.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        while out.tell() < megabytes << 20:
            day = packets // len(records) * DAY_S
            for moment, record in records:
                second, fraction = divmod(max(moment, 0), 1_000_000)
                out.write(struct.pack("<II", day + second % DAY_S, fraction) + record)
            packets += len(records)
    return packets


def chunks(file: Path) -> Iterator[bytes]:
    """Read a file in pieces."""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def our_flows(file: Path) -> int:
    """Make flow rows only."""
    return sum(seen.flows.height for seen in watch(chunks(file), dns=False))


def our_flows_and_dns(file: Path) -> int:
    """Make flow rows and DNS messages."""
    return sum(seen.flows.height + len(seen.dns) for seen in watch(chunks(file)))


def our_headers(file: Path) -> int:
    """Only turn packets into header columns."""
    return sum(int((read_headers(b, LAYERS).version > 0).sum()) for b in read_packets(chunks(file)))


def scapy_and_struct(file: Path) -> int:
    """Keep a dictionary of flows by hand, IPv4 and one VLAN tag only: less work than ours."""
    flows: dict[tuple[bytes, bytes, int, int, int], list[int]] = {}
    with RawPcapReader(str(file)) as reader:
        for data, meta in reader:
            at = 14
            kind = struct.unpack_from(">H", data, 12)[0] if len(data) > 14 else 0
            if kind == 0x8100:
                kind, at = struct.unpack_from(">H", data, 16)[0], 18
            if kind != 0x0800 or len(data) < at + 24:
                continue
            proto, body = data[at + 9], at + (data[at] & 15) * 4
            if proto not in (6, 17) or len(data) < body + 4:
                continue
            src_port, dst_port = struct.unpack_from(">HH", data, body)
            src, dst = data[at + 12 : at + 16], data[at + 16 : at + 20]
            forward = (src, src_port) <= (dst, dst_port)
            key = (
                (src, dst, proto, src_port, dst_port)
                if forward
                else (dst, src, proto, dst_port, src_port)
            )
            flow = flows.setdefault(key, [0, 0, 0, 0])
            flow[0 if forward else 2] += 1
            flow[1 if forward else 3] += meta.wirelen
    return len(flows)


def tshark(file: Path) -> int:
    """Let tshark list the conversations."""
    command = ["tshark", "-n", "-q", "-r", str(file), "-z", "conv,tcp", "-z", "conv,udp"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())


WAYS: Final[dict[str, Callable[[Path], int]]] = {
    "headers": our_headers,
    "flows": our_flows,
    "flows+dns": our_flows_and_dns,
    "scapy-raw+struct": scapy_and_struct,
    "tshark-conv": tshark,
}


def measure(way: str, file: Path) -> tuple[float, float, int]:
    """Run one way in a child process: CPU-seconds beyond start-up, peak MB, rows found."""
    command = [sys.executable, "-m", "benchmarks.flows", "--only", way, "--file", str(file)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu_s, peak_mb, rows = text.split()
    return float(cpu_s), float(peak_mb), int(rows)


def run_only(way: str, file: Path) -> None:
    """Be the child: run one way and print what it cost."""

    def cpu_s() -> float:
        both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    with tempfile.TemporaryDirectory() as folder:
        # Load what is loaded on first use: only packets are to be measured.
        small = Path(folder) / "small.pcap"
        small.write_bytes(file.open("rb").read(WARM_UP_BYTES))
        with contextlib.suppress(InvalidBatch, subprocess.CalledProcessError):
            WAYS[way](small)
    before = cpu_s()
    rows = WAYS[way](file)
    used = cpu_s() - before
    who = resource.RUSAGE_CHILDREN if way == "tshark-conv" else resource.RUSAGE_SELF
    print(used, resource.getrusage(who).ru_maxrss / 1024, rows)


def main() -> None:
    """Measure all ways on one file and print the ratios to the peer."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("captures", nargs="?", type=Path, default=CAPTURES)
    arguments.add_argument("--megabytes", type=int, default=100)
    arguments.add_argument("--only", choices=sorted(WAYS))
    arguments.add_argument("--file", type=Path)
    given = arguments.parse_args()
    if given.only:
        run_only(given.only, given.file)
        return
    peer = "tshark-conv" if shutil.which("tshark") else "scapy-raw+struct"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.pcap"
        packets = put_together(given.captures, file, given.megabytes)
        size = file.stat().st_size / 1e6
        print(f"{packets} packets, {size:.0f} MB; peer: {peer}")
        ways = [way for way in WAYS if way not in ("tshark-conv", "scapy-raw+struct")]
        runs = [{way: measure(way, file) for way in [*ways, peer]} for _ in range(ROUNDS)]
    # The machine is shared: the least CPU time of each way is the one least disturbed.
    results = {way: min(run[way] for run in runs) for way in runs[0]}
    base = packets / results[peer][0]
    for way, (cpu_s, peak_mb, rows) in results.items():
        speed = packets / cpu_s
        print(
            f"{way:18} {speed:10,.0f} packets/CPU-s  {size / cpu_s:6.0f} MB/CPU-s  "
            f"{speed / base:6.2f} x peer  {peak_mb:5.0f} MB peak  {rows} rows"
        )


if __name__ == "__main__":
    main()
