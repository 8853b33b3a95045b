"""`inopsio flows`: show what packet captures hold; needs no running system."""

import importlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cyclopts
import polars as pl

from deploy.output import DONE, FAILED, PARTLY, WRONG_USE, emit_all, say, show, table
from pipelines.network import sightings
from pipelines.network.capture import read_packets
from pipelines.network.dns_messages import DnsSighting
from pipelines.network.flow_table import MAX_OPEN
from pipelines.network.packets import PacketBlock
from pipelines.network.ring import Ring
from pipelines.network.sensor import watch_blocks
from pipelines.network.sightings import Sighting
from storage.errors import InvalidInput, Unavailable

KINDS: Final = ("flows", "dns", *sightings.KINDS, sightings.FILES)
ALL: Final = "all"
CHUNK_BYTES: Final = 1 << 20
_SECOND_NS: Final = 1_000_000_000

FLOW_COLUMNS: Final = (
    "src_ip", "src_port", "dst_ip", "dst_port", "proto", "packets_out", "packets_in", "bytes_out",
    "bytes_in", "start", "end", "state", "community_id",
)  # fmt: skip
DNS_COLUMNS: Final = (
    "time", "src_ip", "src_port", "dst_ip", "dst_port", "proto", "query", "qtype", "answers",
    "rcode",
)  # fmt: skip
_ENDS: Final = ("time", "src_ip", "src_port", "dst_ip", "dst_port", "proto")
COLUMNS: Final = {
    "flows": FLOW_COLUMNS,
    "dns": DNS_COLUMNS,
    sightings.TLS: (*_ENDS, "sni", "version", "alpn", "ja3", "ja3s", "ja4"),
    sightings.HTTP: (*_ENDS, "method", "host", "uri", "status", "user_agent"),
    sightings.HTTP2: (*_ENDS, "method", "host", "uri", "status", "user_agent"),
    sightings.DHCP: (*_ENDS, "message_type", "client_mac", "hostname", "address", "server"),
    sightings.DHCP6: (*_ENDS, "message_type", "client_mac", "hostname", "address", "server"),
    sightings.ARP: ("time", "operation", "src_mac", "src_ip", "dst_mac", "dst_ip"),
    sightings.SSH: (*_ENDS, "banner", "is_server"),
    sightings.FILES: (*_ENDS, "mime_type", "size", "seen_bytes", "sha256_16k", "host", "uri"),
    sightings.OT: (*_ENDS, "protocol", "function", "is_request", "is_write", "unit", "failure"),
}

Row = Mapping[str, object]
Kept = tuple[str, Row]
Kinds = tuple[str, ...]


def register(app: cyclopts.App) -> None:
    """Add the command."""
    app.command(flows)


def flows(
    *captures: str,
    kind: str = "flows",
    json: bool = False,
    live: str | None = None,
    seconds: float = 10.0,
    flow: str | None = None,
    explain: bool = False,
    packets: int = 20,
) -> int:
    """Show the flows, or what one protocol says, of capture files.

    Exit code 3: a capture was damaged or cut off; what could be read of it is shown.

    Parameters
    ----------
    captures
        pcap or pcapng files, or folders of them; /dev/stdin for a pipe.
    kind
        flows, dns, tls (with QUIC and DTLS), http, http2 (in clear text), dhcp, dhcp6, arp, ssh,
        ot (Modbus, DNP3, S7comm, ENIP) or files (HTTP bodies); several with a comma between;
        all = all but files.
    json
        one JSON object a line, with the file as given.
    live
        an interface to listen at instead of files; needs Linux and CAP_NET_RAW.
    seconds
        how long to listen.
    flow
        only the rows of one flow, by its community-id.
    explain
        take the flow's first packets apart, layer by layer, with scapy.
    packets
        how many of them.
    """
    kinds = _kinds(kind)
    unknown = [one for one in kinds if one not in KINDS]
    if unknown:
        now = ", ".join((*KINDS, ALL))
        say(f"inopsio flows: --kind '{unknown[0]}' is not there; the kinds now are {now}")
        return WRONG_USE
    if explain and flow is None:
        say("inopsio flows: --explain needs --flow COMMUNITY_ID; the rows of flows name it")
        return WRONG_USE
    if live is not None:
        return _listen(live, seconds, kinds, json=json)
    if not captures:
        say("inopsio flows: name at least one capture file or folder")
        return WRONG_USE
    explained = (flow, packets) if explain and flow is not None else None
    refused = sum(
        not _read(name, file, kinds, json=json, flow=flow, explained=explained)
        for name, file in _files(captures)
    )
    if not refused:
        return DONE
    return PARTLY if any(os.path.lexists(path) for path in captures) else FAILED


def _read(
    name: str,
    file: Path,
    kinds: Kinds,
    *,
    json: bool,
    flow: str | None,
    explained: tuple[str, int] | None,
) -> bool:
    """Show what one file holds; False, and why in words, where it was not read to its end."""
    try:
        blocks = read_packets(_chunks(file))
        if explained is not None:
            _explain(blocks, *explained)
        else:
            _show(name, blocks, kinds, json=json, flow=flow)
    except InvalidInput as error:
        say(f"{name}: {error}")
        return False
    return True


def _kinds(asked: str) -> Kinds:
    """Give the kinds that are asked for, each once."""
    each = (KINDS[:-1] if one == ALL else (one,) for one in asked.split(","))
    return tuple(dict.fromkeys(kind for some in each for kind in some))


def _files(captures: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Give each file with its name as given, and of each folder the captures in it, sorted."""
    for given in captures:
        path = Path(given)
        if not path.is_dir():
            yield _as_text(given), path
            continue
        held = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_named_so(p)]
        for one in held:
            yield _as_text(f"{given.rstrip('/')}/{one.relative_to(path)}"), one
        if not held:
            say(f"{given}: no captures in it (files that end with {', '.join(_ENDINGS)})")


def _as_text(name: str) -> str:
    r"""Write a file name's bytes as text, those that are no UTF-8 as escapes.

    >>> _as_text(os.fsdecode(b"bad\xff.pcap"))
    'bad\\xff.pcap'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


_ENDINGS: Final = (".pcap", ".pcapng", ".cap", ".dmp")


def _is_named_so(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS


def _listen(interface: str, seconds: float, kinds: Kinds, *, json: bool) -> int:
    """Show what passes an interface for a while; say what the kernel had to drop."""
    end = time.monotonic() + seconds
    try:
        with Ring(interface) as ring:
            blocks = ring.blocks(lambda: time.monotonic() >= end)
            _show(interface, blocks, kinds, json=json)
            ring.count()
    except Unavailable as refused:
        say(f"inopsio flows: {refused}")
        return FAILED
    say(f"{interface}: {ring.packets} packets, {ring.drops} dropped by the kernel")
    return DONE


def _shown(
    name: str, blocks: Iterator[PacketBlock], kinds: Kinds, flow: str | None
) -> Iterator[list[Kept]]:
    """Give, stretch by stretch, the rows with their kinds."""
    others = tuple(kind for kind in kinds if kind not in ("flows", "dns"))
    evicted = cut = 0
    for seen in watch_blocks(blocks, flows="flows" in kinds, dns="dns" in kinds, others=others):
        parts = (
            *((("flows", row) for row in _flow_rows(part)) for part in seen.flows.iter_slices()),
            (("dns", _dns_row(message)) for message in seen.dns),
            ((row.kind, _row(row)) for row in seen.others if row.kind in kinds),
        )
        for part in parts:
            yield [one for one in part if flow is None or one[1]["community_id"] == flow]
        evicted, cut = max(evicted, seen.evicted), max(cut, seen.cut)
    if evicted:
        say(f"{name}: {evicted} unfinished messages or connections were let go")
    if cut:
        say(f"{name}: over {MAX_OPEN} flows at once: {cut} of them were ended early")


def _chunks(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise InvalidInput(error.strerror or str(error)) from error


def _flow_rows(frame: pl.DataFrame) -> Iterator[Row]:
    rows = frame.with_columns(
        _seconds("start_ns").alias("start"), _seconds("end_ns").alias("end")
    ).select(FLOW_COLUMNS)
    yield from rows.iter_rows(named=True)


def _seconds(column: str) -> pl.Expr:
    """Give nanoseconds as seconds: the float next to it, which one division would miss."""
    time_ns = pl.col(column)
    return time_ns // _SECOND_NS + time_ns % _SECOND_NS / _SECOND_NS


def _dns_row(seen: DnsSighting) -> Row:
    return {
        "time": seen.time_ns / _SECOND_NS,
        "src_ip": seen.src_ip,
        "src_port": seen.src_port,
        "dst_ip": seen.dst_ip,
        "dst_port": seen.dst_port,
        "proto": seen.proto,
        "community_id": seen.community_id,
        "query": seen.message.query,
        "qtype": seen.message.qtype,
        "answers": seen.message.answers,
        "rcode": seen.message.rcode,
        "id": seen.message.id,
        "is_response": seen.message.is_response,
    }


def _row(seen: Sighting) -> Row:
    return {
        "time": seen.time_ns / _SECOND_NS,
        "src_ip": seen.src_ip,
        "src_port": seen.src_port,
        "dst_ip": seen.dst_ip,
        "dst_port": seen.dst_port,
        "proto": seen.proto,
        "community_id": seen.community_id,
        **seen.fields,
    }


def _explain(blocks: Iterator[PacketBlock], flow: str, packets: int) -> None:
    """Print the packets' layers. scapy is loaded here: it costs half a second and 60 MB."""
    explain = importlib.import_module("deploy.explain")
    for number, time_ns, text in explain.explained(blocks, flow, packets):
        show(f"packet {number}, {time_ns / 1e9:.6f}\n{text}")


def _show(
    name: str,
    blocks: Iterator[PacketBlock],
    kinds: Kinds,
    *,
    json: bool,
    flow: str | None = None,
) -> None:
    """Print rows as they come; a table needs all of a file's rows first to be aligned."""
    if json:
        for stretch in _shown(name, blocks, kinds, flow):
            if len(kinds) == 1:
                emit_all({"file": name, **row} for _, row in stretch)
            else:
                emit_all({"file": name, "kind": kind, **row} for kind, row in stretch)
        return
    held: dict[str, list[Row]] = {kind: [] for kind in kinds}
    try:
        for stretch in _shown(name, blocks, kinds, flow):
            for kind, row in stretch:
                held[kind].append(row)
    finally:
        for kind, rows in held.items():
            named = {"flows": "flows", "dns": "DNS messages"}.get(kind, f"{kind} rows")
            say(f"{name}: {len(rows)} {named}")
            if rows:
                table(rows, COLUMNS[kind])
