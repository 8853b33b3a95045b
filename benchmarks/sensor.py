"""Measure the network sensor beside tshark, nfstream and Suricata: packets per CPU-second, memory.

    python -m benchmarks.sensor [CAPTURES_DIR] [--megabytes 64] [--nfstream PYTHON]

The Ethernet captures of the shared data are interleaved in one file and repeated until it has the
size asked for. Each capture of each repetition gets addresses of its own (two bytes of every
unicast IPv4 address, four of every IPv6 address are changed) and each repetition is a day later, so
that no two flows fall together. Each way runs in a process of its own, in turn, ROUNDS times; the
least CPU time counts (user and system, with children). Peers that are not installed are named and
left out: tshark and suricata from the PATH, nfstream in the Python of `--nfstream`.

Our rows are written to a file as JSON lines, as Suricata's EVE is.
"""

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from benchmarks.flows import chunks
from pipelines.network.capture import read_packets
from pipelines.network.headers import Headers, read_headers
from pipelines.network.packets import PacketBlock
from pipelines.network.sensor import watch
from pipelines.network.sightings import ARP, DHCP, HTTP, KINDS, TLS
from pipelines.network.tunnels import LAYERS
from storage.errors import InvalidBatch

CAPTURES: Final = Path(os.environ.get("INOPSIO_SHARED", "../shared")) / "data" / "pcap"
DAY_NS: Final = 86_400 * 1_000_000_000
WARM_UP_BYTES: Final = 200_000
ROUNDS: Final = 2
ETHERNET: Final = 1
BAR: Final = (TLS, HTTP, DHCP, ARP)

SURICATA: Final = """%YAML 1.1
---
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      community-id: true
      types: [flow, dns, tls: {extended: yes}, http: {extended: yes}, dhcp: {enabled: yes}, quic]
app-layer:
  protocols:
    tls: {enabled: yes, ja3-fingerprints: yes, ja4-fingerprints: yes,
          detection-ports: {dp: "443"}}
    http: {enabled: yes}
    dns: {tcp: {enabled: yes}, udp: {enabled: yes}}
    dhcp: {enabled: yes}
    quic: {enabled: yes}
"""

NFSTREAM: Final = """
import sys
from nfstream import NFStreamer
source = NFStreamer(source=sys.argv[1], n_dissections=int(sys.argv[2]), n_meters=1)
print(sum(1 for _ in source))
"""


def put_together(folder: Path, target: Path, megabytes: int) -> int:
    """Write the big capture; give its number of packets."""
    blocks: list[tuple[PacketBlock, Headers]] = []
    for file in sorted(folder.glob("*.pcap*")):
        with contextlib.suppress(InvalidBatch):
            blocks += (
                (block, read_headers(block, LAYERS))
                for block in read_packets([file.read_bytes()])
                if (block.link == ETHERNET).all()
            )
    packets = 0
    with target.open("wb") as out:
        out.write(np.array([0xA1B23C4D, 4 << 16 | 2, 0, 0, 262_144, ETHERNET], "<u4").tobytes())
        repetition = 0
        while out.tell() < megabytes << 20:
            records: list[tuple[int, bytes]] = []
            for number, (block, headers) in enumerate(blocks):
                records += _records(block, headers, repetition * len(blocks) + number + 1)
            records.sort(key=lambda record: record[0])
            for moment, record in records:
                seconds, rest = divmod(moment % DAY_NS + repetition * DAY_NS, 1_000_000_000)
                out.write(np.array([seconds, rest], "<u4").tobytes() + record)
            packets += len(records)
            repetition += 1
    return packets


def _records(block: PacketBlock, headers: Headers, salt: int) -> Iterator[tuple[int, bytes]]:
    """Give (time since the first packet, record without its time) with changed addresses."""
    octets = bytearray(block.octets)
    change = salt.to_bytes(4, "big")
    for row in np.flatnonzero(headers.version).tolist():
        start = int(block.start[row])
        frame = bytes(octets[start : start + int(block.captured[row])])
        for at, size in _addresses(frame):
            first = frame[at]
            if (size == 4 and 0 < first < 224) or (size == 16 and first != 0xFF):
                # The middle of an IPv4 address, the interface part of an IPv6 one.
                where, xor = (at + 1, change[2:]) if size == 4 else (at + 8, change)
                for i, value in enumerate(xor):
                    octets[start + where + i] ^= value
    sizes = np.stack([block.captured, block.wire], axis=1).astype("<u4")
    first_ns = int(block.time_ns.min())
    for row in range(len(block)):
        start, size = int(block.start[row]), int(block.captured[row])
        body = bytes(octets[start : start + size])
        yield int(block.time_ns[row]) - first_ns, sizes[row].tobytes() + body


def _addresses(frame: bytes) -> Iterator[tuple[int, int]]:
    """Give where the outermost IP addresses lie, and how long they are."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    kind = frame[at : at + 2]
    if kind == b"\x08\x00" and len(frame) >= at + 22:
        yield from ((at + 14, 4), (at + 18, 4))
    elif kind == b"\x86\xdd" and len(frame) >= at + 42:
        yield from ((at + 10, 16), (at + 26, 16))


def our_flows(file: Path) -> int:
    """Make flow rows only."""
    return sum(seen.flows.height for seen in watch(chunks(file), dns=False, others=()))


def our_rows(file: Path, kinds: Collection[str] = KINDS) -> int:
    """Make rows of these kinds, flows and DNS, and write them as JSON lines."""
    rows = 0
    with tempfile.TemporaryFile() as out:
        for seen in watch(chunks(file), others=kinds):
            seen.flows.write_ndjson(out)
            # One row a message, as it would be shipped.
            out.writelines(orjson.dumps((*d[:-1], *d.message)) + b"\n" for d in seen.dns)
            out.writelines(orjson.dumps(tuple(row)) + b"\n" for row in seen.others)
            rows += seen.flows.height + len(seen.dns) + len(seen.others)
    return rows


def tshark(file: Path) -> int:
    """Let tshark list the conversations."""
    command = ["tshark", "-n", "-q", "-r", str(file), "-z", "conv,tcp", "-z", "conv,udp"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())


def suricata(file: Path) -> int:
    """Let Suricata write EVE, in one thread, without rules."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "s.yaml").write_text(SURICATA)
        command = ["suricata", "-c", str(place / "s.yaml"), "-S", os.devnull, "-k", "none"]
        command += ["--runmode", "single", "-l", folder, "-r", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        return len((place / "eve.json").read_bytes().splitlines())


def nfstream(file: Path, dissections: int) -> int:
    """Let nfstream make flows, without or with nDPI looking at the first packets of each."""
    command = [os.environ["INOPSIO_NFSTREAM"], "-c", NFSTREAM, str(file), str(dissections)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


WAYS: Final[dict[str, Callable[[Path], int]]] = {
    "flows": our_flows,
    "rows": lambda file: our_rows(file, BAR),
    "rows+ssh+ot": our_rows,
    "tshark-conv": tshark,
    "nfstream-0": lambda file: nfstream(file, 0),
    "nfstream-20": lambda file: nfstream(file, 20),
    "suricata-eve": suricata,
}
OURS: Final = ("flows", "rows", "rows+ssh+ot")


def run_only(way: str, file: Path) -> None:
    """Be the child: run one way and print CPU-seconds (all, and start-up), peak MB and rows."""
    who = resource.RUSAGE_SELF if way in OURS else resource.RUSAGE_CHILDREN

    def cpu_s() -> float:
        both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    with tempfile.TemporaryDirectory() as folder:
        # What is loaded on first use, and a peer's start-up, is not to be measured.
        small = Path(folder) / "small.pcap"
        small.write_bytes(file.open("rb").read(WARM_UP_BYTES))
        before = cpu_s()
        with contextlib.suppress(InvalidBatch, subprocess.CalledProcessError, ValueError):
            WAYS[way](small)
        start_up = 0.0 if way in OURS else cpu_s() - before
    before = cpu_s()
    rows = WAYS[way](file)
    print(cpu_s() - before, start_up, resource.getrusage(who).ru_maxrss / 1024, rows)


def measure(way: str, file: Path) -> tuple[float, float, float, int]:
    """Run one way in a child process."""
    command = [sys.executable, "-m", "benchmarks.sensor", "--only", way, "--file", str(file)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu_s, start_up_s, peak_mb, rows = text.split()
    return float(cpu_s), float(start_up_s), float(peak_mb), int(rows)


def there(nfstream_python: str | None) -> list[str]:
    """Give the ways that can run here; say which cannot."""
    if nfstream_python:
        os.environ["INOPSIO_NFSTREAM"] = nfstream_python
    has = {
        "tshark-conv": shutil.which("tshark"),
        "suricata-eve": shutil.which("suricata"),
        "nfstream-0": os.environ.get("INOPSIO_NFSTREAM"),
        "nfstream-20": os.environ.get("INOPSIO_NFSTREAM"),
    }
    for name in (name for name, place in has.items() if not place):
        print(f"{name}: not installed, not run")
    return [way for way in WAYS if has.get(way, True)]


def main() -> None:
    """Measure all ways on one file and print our ratios to each peer."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("captures", nargs="?", type=Path, default=CAPTURES)
    arguments.add_argument("--megabytes", type=int, default=64)
    arguments.add_argument("--nfstream")
    arguments.add_argument("--only", choices=sorted(WAYS))
    arguments.add_argument("--file", type=Path)
    given = arguments.parse_args()
    if given.only:
        run_only(given.only, given.file)
        return
    ways = there(given.nfstream)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.pcap"
        packets = put_together(given.captures, file, given.megabytes)
        size = file.stat().st_size / 1e6
        print(f"{packets} packets, {size:.0f} MB")
        runs = [{way: measure(way, file) for way in ways} for _ in range(ROUNDS)]
    # The machine is shared: the least CPU time of each way is the one least disturbed.
    results = {way: min(run[way] for run in runs) for way in ways}
    for way, (cpu_s, start_up_s, peak_mb, rows) in results.items():
        beside = "  ".join(
            f"{mine} = {cpu_s / results[mine][0]:.2f} x "
            f"({(cpu_s - start_up_s) / results[mine][0]:.2f} without its start-up)"
            for mine in OURS[:2]
            if way not in OURS
        )
        print(
            f"{way:14} {packets / cpu_s:10,.0f} packets/CPU-s {size / cpu_s:6.0f} MB/CPU-s "
            f"{peak_mb:5.0f} MB peak {rows:8} rows  {beside}"
        )


if __name__ == "__main__":
    main()
