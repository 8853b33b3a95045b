"""Read Suricata's EVE JSON: alert, dns (versions 1 to 3), http, tls, flow, fileinfo, ssh, smtp.

Fields: Suricata user guide, "EVE JSON Format". Every field stays addressable by its dotted name,
`unmapped.alert.signature`. Event types without a map of their own (stats, anomaly, smb, ...) are
base events; anomaly and drop keep their ends. `host` names the sensor, which is not where it
happened: it becomes the provider, and a finding is about the ends.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed
from pipelines.parsers._json import Records, decode, split
from pipelines.parsers._text import finish
from pipelines.parsers._time import parse_times
from storage.schema import UNMAPPED

FORMAT: Final = "suricata_eve"
LINES: Final = True

_CLASSES: Final = {
    "alert": (2004, 1),
    "dns": (4003, 6),
    "http": (4002, 0),
    "tls": (4014, 1),
    "flow": (4001, 2),
    "netflow": (4001, 6),
    "drop": (4001, 5),
    "fileinfo": (4010, 0),
    "ssh": (4007, 1),
    "smtp": (4009, 1),
}
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "src_endpoint.ip": ("src_ip",),
    "src_endpoint.port": ("src_port",),
    "dst_endpoint.ip": ("dest_ip",),
    "dst_endpoint.port": ("dest_port",),
    "connection_info.community_uid": ("community_id",),
    "connection_info.state": ("flow.state",),
    "metadata.log_provider": ("host",),
    "traffic.bytes_out": ("flow.bytes_toserver",),
    "traffic.bytes_in": ("flow.bytes_toclient",),
    "traffic.packets_out": ("flow.pkts_toserver",),
    "traffic.packets_in": ("flow.pkts_toclient",),
    "finding_info.uid": ("alert.signature_id",),
    "finding_info.title": ("alert.signature",),
    "message": ("alert.signature",),
    "query.hostname": ("dns.rrname", "dns.query.rrname"),
    "query.type": ("dns.rrtype", "dns.query.rrtype"),
    "rcode": ("dns.rcode",),
    "http_request.http_method": ("http.http_method",),
    "http_request.url.hostname": ("http.hostname",),
    "http_request.url.path": ("http.url",),
    "http_request.user_agent": ("http.http_user_agent",),
    "http_response.code": ("http.status",),
    "tls.sni": ("tls.sni",),
    "tls.version": ("tls.version",),
    "tls.ja3_hash": ("tls.ja3.hash",),
    "tls.ja4": ("tls.ja4",),
    "tls.certificate.subject": ("tls.subject",),
    "file.name": ("fileinfo.filename",),
    "file.size": ("fileinfo.size",),
    "file.mime_type": ("fileinfo.magic",),
    "email.from": ("smtp.mail_from", "email.from"),
    "email.to": ("smtp.rcpt_to", "email.to"),
    "email.subject": ("email.subject",),
}
_METHODS: Final = {"CONNECT": 1, "GET": 3, "POST": 6}
_LIST_ITEM: Final = r'"rrname":"((?:[^"\\]|\\.)*)"'
_RDATA: Final = r'"rdata":"((?:[^"\\]|\\.)*)"'
_RRTYPE: Final = r'"rrtype":"([^"]*)"'


def matches(head: bytes) -> float:
    """Say 0.95 for JSON with EVE's `event_type` beside `timestamp`.

    >>> matches(b'{"timestamp":"2024-01-01T00:00:00.000000+0000","event_type":"stats"}')
    0.95
    """
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{") or b'"event_type"' not in head:
        return 0.0
    sure = (b'"flow_id"', b'"src_ip"', b'"timestamp"')
    return 0.95 if any(sign in head for sign in sure) else 0.3


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give one event a record; OCSF columns beside EVE's own names as `unmapped.*`."""
    for records in decode(chunks):
        yield Parsed(_events(records), records.rejects)


def _events(records: Records) -> pl.DataFrame:
    fields = records.fields
    has = set(fields.columns)
    time = parse_times([fields["timestamp"]] if "timestamp" in has else [], records.position.len())
    named = fields.rename(lambda name: UNMAPPED + name)
    frame = pl.concat([records.position.to_frame(), time.to_frame(), named], how="horizontal")
    if "event_type" not in has:
        frame = frame.with_columns(pl.lit(None, pl.String).alias("unmapped.event_type"))
    kind = pl.col("unmapped.event_type")
    columns: dict[str, pl.Expr] = {
        "class_uid": kind.replace_strict({k: c for k, (c, _) in _CLASSES.items()}, default=0),
        "activity_id": kind.replace_strict({k: a for k, (_, a) in _CLASSES.items()}, default=0),
        "metadata.event_code": kind,
        "metadata.log_name": pl.lit("eve.") + kind,
    }
    for target, names in _TEXTS.items():
        found = [_line(name) for name in names if name in has]
        if found:
            columns[target] = pl.coalesce(found)
    columns |= _details(has)
    frame = frame.with_columns(**columns)
    return finish(frame, FORMAT, "suricata")


def _line(name: str) -> pl.Expr:
    return pl.col(UNMAPPED + name).str.replace_all("\n", "; ", literal=True)


def _details(has: set[str]) -> dict[str, pl.Expr]:
    """Give what is not a plain renaming: protocol, severity, DNS of three versions, hashes."""
    more: dict[str, pl.Expr] = {}
    kind = pl.col("unmapped.event_type")
    activity = kind.replace_strict({k: a for k, (_, a) in _CLASSES.items()}, default=0)
    if "proto" in has:
        more["connection_info.protocol_name"] = pl.col("unmapped.proto").str.to_lowercase()
    if "alert.severity" in has:
        grave = {"1": 4, "2": 3, "3": 2, "4": 1}
        more["severity_id"] = pl.col("unmapped.alert.severity").replace_strict(grave, default=None)
    if "dns.type" in has:
        types = {"query": 1, "request": 1, "answer": 2, "response": 2}
        said = pl.col("unmapped.dns.type").replace_strict(types, default=None)
        activity = pl.when(kind == "dns").then(pl.coalesce(said, activity)).otherwise(activity)
    if "http.http_method" in has:
        said = pl.col("unmapped.http.http_method").replace_strict(_METHODS, default=None)
        activity = pl.when(kind == "http").then(pl.coalesce(said, activity)).otherwise(activity)
    more["activity_id"] = activity
    return more | _dns(has) | _more_details(has)


def _dns(has: set[str]) -> dict[str, pl.Expr]:
    """Give question and answers of DNS versions 1 (flat), 2 (answers) and 3 (queries too)."""
    more: dict[str, pl.Expr] = {}
    for part in ("dns.queries", "dns.query"):
        if part in has:
            item = pl.col(UNMAPPED + part)
            for target, pattern in (("query.hostname", _LIST_ITEM), ("query.type", _RRTYPE)):
                plain = [_line(name) for name in _TEXTS[target] if name in has]
                more[target] = pl.coalesce(*plain, item.str.extract(pattern))
    answers: list[pl.Expr] = []
    if "dns.answers" in has:
        found = pl.col("unmapped.dns.answers").str.extract_all(_RDATA)
        joined = found.list.eval(pl.element().str.extract(_RDATA)).list.join("; ")
        answers.append(pl.when(found.list.len() > 0).then(joined))
    if "dns.rdata" in has:
        answers.append(_line("dns.rdata"))
    grouped = sorted(name for name in has if name.startswith("dns.grouped."))
    if grouped:
        joined = pl.concat_str([_line(name) for name in grouped], separator="; ", ignore_nulls=True)
        answers.append(pl.when(joined != "").then(joined))
    if answers:
        more["answers"] = pl.coalesce(answers)
    return more


def _more_details(has: set[str]) -> dict[str, pl.Expr]:
    more: dict[str, pl.Expr] = {}
    hashes = [
        pl.concat_str(pl.lit(f"{name.upper()}="), UNMAPPED + f"fileinfo.{name}")
        for name in ("md5", "sha1", "sha256")
        if f"fileinfo.{name}" in has
    ]
    if hashes:
        joined = pl.concat_str(hashes, separator=",", ignore_nulls=True)
        more["file.hashes"] = pl.when(joined != "").then(joined)
    if "flow.age" in has:
        age = pl.col("unmapped.flow.age").cast(pl.Float64, strict=False) * 1000
        more["duration"] = age.round().cast(pl.Int64, strict=False)
    return more


__all__ = ["FORMAT", "matches", "parse", "split"]
