"""Map what the network sensor reads of TLS, HTTP, DHCP, ARP, SSH and OT protocols to OCSF columns.

What OCSF has no column for stays under the sensor's own name: `unmapped.ja3s`, `unmapped.function`.
ARP and industrial protocols have no class in OCSF: they are base events, named by
`metadata.log_name` (arp, modbus, dnp3, s7comm, enip, cip).
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from pipelines.network.sightings import ARP, DHCP, DHCP6, HTTP, HTTP2, OT, SSH, TLS, Sighting, Value
from storage.schema import UNMAPPED, class_named, column_named

_CLASSES: Final = {
    TLS: class_named("tls_activity").class_uid,
    HTTP: class_named("http_activity").class_uid,
    HTTP2: class_named("http_activity").class_uid,
    DHCP: class_named("dhcp_activity").class_uid,
    DHCP6: class_named("dhcp_activity").class_uid,
    SSH: class_named("ssh_activity").class_uid,
    ARP: class_named("base_event").class_uid,
    OT: class_named("base_event").class_uid,
}
_ACTIVITIES: Final = {
    (HTTP, "CONNECT"): 1, (HTTP, "GET"): 3, (HTTP, "POST"): 6, (DHCP, "DISCOVER"): 1,
    (DHCP, "OFFER"): 2, (DHCP, "REQUEST"): 3, (DHCP, "DECLINE"): 4, (DHCP, "ACK"): 5,
    (DHCP, "NAK"): 6, (DHCP, "RELEASE"): 7, (DHCP, "INFORM"): 8,
    (DHCP6, "SOLICIT"): 1, (DHCP6, "ADVERTISE"): 2, (DHCP6, "REQUEST"): 3, (DHCP6, "DECLINE"): 4,
    (DHCP6, "REPLY"): 5, (DHCP6, "RELEASE"): 7, (DHCP6, "INFORMATION-REQUEST"): 8,
}  # fmt: skip
_COLUMNS: Final = {
    "sni": "tls.sni",
    "version": "tls.version",
    "ja3": "tls.ja3_hash",
    "ja4": "tls.ja4",
    "subject": "tls.certificate.subject",
    "method": "http_request.http_method",
    "host": "http_request.url.hostname",
    "uri": "http_request.url.path",
    "user_agent": "http_request.user_agent",
    "status": "http_response.code",
}
_ENDS: Final = {
    "time": pl.Int64(),
    "class_uid": pl.Int32(),
    "activity_id": pl.Int32(),
    "metadata.log_name": pl.String(),
    "src_endpoint.ip": pl.String(),
    "src_endpoint.port": pl.Int32(),
    "dst_endpoint.ip": pl.String(),
    "dst_endpoint.port": pl.Int32(),
    "connection_info.protocol_name": pl.String(),
    "connection_info.community_uid": pl.String(),
}


def protocol_events(rows: Sequence[Sighting]) -> pl.DataFrame:
    """Turn sightings into events, in their order; `unmapped.` columns are text."""
    names = sorted({name for row in rows for name in row.fields})
    ends = pl.DataFrame([_ends(row) for row in rows], schema=_ENDS, orient="row")
    details = [_column(name, [row.fields.get(name) for row in rows]) for name in names]
    return ends.hstack(details).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))


def _ends(row: Sighting) -> tuple[Value, ...]:
    is_arp = row.kind == ARP
    is_http = row.kind in (HTTP, HTTP2)
    kind = row.fields.get("method") if is_http else row.fields.get("message_type")
    opens = 1 if row.kind in (TLS, SSH) else 0
    name = row.fields["protocol"] if row.kind == OT else row.kind
    return (
        row.time_ns // 1000,
        _CLASSES[row.kind],
        _ACTIVITIES.get((HTTP if is_http else row.kind, str(kind)), opens),
        name,
        row.src_ip,
        None if is_arp else row.src_port,
        row.dst_ip,
        None if is_arp else row.dst_port,
        row.proto,
        row.community_id,
    )


def _column(name: str, values: list[Value]) -> pl.Series:
    target = _COLUMNS.get(name)
    known = column_named(target) if target else None
    if target and known:
        return pl.Series(target, values, known.dtype)
    return pl.Series(UNMAPPED + name, [_text(value) for value in values], pl.String)


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
