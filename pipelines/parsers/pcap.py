"""Read packet captures (pcap, pcapng) as events: flows, DNS, TLS, HTTP, DHCP, ARP, SSH, OT.

A flow is an OCSF network_activity event at its start, a DNS message a dns_activity event; what the
other protocols say comes as `pipelines.parsers._pcap_events` maps it.
`position` numbers the events in the order in which the capture shows them (a flow counts when it
ends), which depends on the bytes alone, not on how they are chunked.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.network.capture import is_capture
from pipelines.network.dns_messages import DnsSighting
from pipelines.network.flow_rows import ESTABLISHED, NEW, REFUSED, RESET
from pipelines.network.sensor import Seen, watch
from pipelines.parsers import Parsed
from pipelines.parsers._pcap_events import protocol_events
from storage.schema import MAX_BATCH_ROWS, class_named, dtypes

FORMAT: Final = "pcap"
AT_EDGE: Final = True

_FLOW: Final = class_named("network_activity").class_uid
_DNS: Final = class_named("dns_activity").class_uid
_CLOSE, _RESET, _REFUSE, _TRAFFIC = 2, 3, 5, 6
_QUERY, _RESPONSE = 1, 2
_ACTIVITIES: Final = {NEW: _TRAFFIC, ESTABLISHED: _TRAFFIC, RESET: _RESET, REFUSED: _REFUSE}


def matches(head: bytes) -> float:
    """Say how sure it is that the bytes are a capture: by its magic number."""
    return 1.0 if is_capture(head) else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give a capture's messages and flows as OCSF events.

    Frames: the columns that `_flow_events`, `_dns_events` and `protocol_events` name.
    InvalidBatch after the readable part, where the capture is damaged or cut off.
    """
    yield from events(watch(chunks))


def events(stretches: Iterable[Seen]) -> Iterator[Parsed]:
    """Give what stretches of a capture showed, as `parse` does."""
    position = 0
    for seen in stretches:
        others = protocol_events(seen.others)
        for shown in (_dns_events(seen.dns), others, _flow_events(seen.flows)):
            for frame in shown.iter_slices(MAX_BATCH_ROWS):
                if frame.height:
                    end = position + frame.height
                    numbers = pl.int_range(position, end, dtype=pl.Int64, eager=True)
                    yield Parsed(frame.with_columns(numbers.alias("position")), [])
                    position = end


def _flow_events(flows: pl.DataFrame) -> pl.DataFrame:
    """Turn flow rows into network_activity events; `duration` in ms."""
    start_us, end_us = pl.col("start_ns") // 1000, pl.col("end_ns") // 1000
    return flows.select(
        start_us.cast(pl.Datetime("us", "UTC")).alias("time"),
        pl.lit(_FLOW, pl.Int32).alias("class_uid"),
        pl.col("state")
        .replace_strict(_ACTIVITIES, default=_CLOSE, return_dtype=pl.Int32)
        .alias("activity_id"),
        pl.lit("flow").alias("metadata.log_name"),
        pl.col("src_ip").alias("src_endpoint.ip"),
        pl.col("src_port").cast(pl.Int32).alias("src_endpoint.port"),
        pl.col("dst_ip").alias("dst_endpoint.ip"),
        pl.col("dst_port").cast(pl.Int32).alias("dst_endpoint.port"),
        pl.col("proto").alias("connection_info.protocol_name"),
        pl.col("community_id").alias("connection_info.community_uid"),
        pl.col("state").alias("connection_info.state"),
        pl.col("bytes_out").alias("traffic.bytes_out"),
        pl.col("bytes_in").alias("traffic.bytes_in"),
        pl.col("packets_out").alias("traffic.packets_out"),
        pl.col("packets_in").alias("traffic.packets_in"),
        ((end_us - start_us) // 1000).alias("duration"),
    )


def _dns_events(messages: list[DnsSighting]) -> pl.DataFrame:
    """Turn DNS messages into dns_activity events; `answers` joined by '; '."""
    columns = {
        "time": [m.time_ns // 1000 for m in messages],
        "activity_id": [_RESPONSE if m.message.is_response else _QUERY for m in messages],
        "src_endpoint.ip": [m.src_ip for m in messages],
        "src_endpoint.port": [m.src_port for m in messages],
        "dst_endpoint.ip": [m.dst_ip for m in messages],
        "dst_endpoint.port": [m.dst_port for m in messages],
        "connection_info.protocol_name": [m.proto for m in messages],
        "connection_info.community_uid": [m.community_id for m in messages],
        "query.hostname": [m.message.query for m in messages],
        "query.type": [m.message.qtype for m in messages],
        "answers": ["; ".join(m.message.answers) or None for m in messages],
        "rcode": [m.message.rcode for m in messages],
        "unmapped.dns_id": [str(m.message.id) for m in messages],
    }
    known = dtypes(*(name for name in columns if not name.startswith("unmapped.")))
    schema = known | {"time": pl.Int64(), "unmapped.dns_id": pl.String()}
    return pl.DataFrame(columns, schema=schema).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC")),
        pl.lit(_DNS, pl.Int32).alias("class_uid"),
        pl.lit("dns").alias("metadata.log_name"),
    )
