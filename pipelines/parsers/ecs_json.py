"""Read NDJSON in the Elastic Common Schema: class by `event.category` and `event.type`.

Windows events that Elastic's agents ship (`winlog.*`) are read by `windows_json`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed
from pipelines.parsers._json import Records, decode, split
from pipelines.parsers._time import parse_times
from storage.schema import UNMAPPED, class_named, column_named

FORMAT: Final = "ecs_json"
LINES: Final = True
_TIMES: Final = ("@timestamp", "event.start", "event.created", "event.ingested")

# ECS field -> column; the first field that has a value wins.
_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "metadata.log_name": ("event.dataset", "data_stream.dataset", "log.file.path"),
    "metadata.log_provider": ("event.provider", "event.module"),
    "metadata.event_code": ("event.code", "event.action"),
    "metadata.product.name": ("observer.product", "event.module", "agent.type"),
    "message": ("message",),
    "device.hostname": ("host.hostname", "host.name"),
    "device.ip": ("host.ip",),
    "actor.user.name": ("user.name",),
    "actor.user.uid": ("user.id",),
    "actor.user.domain": ("user.domain",),
    "user.name": ("user.target.name", "user.effective.name", "user.changes.name"),
    "user.uid": ("user.target.id", "user.effective.id"),
    "process.file.path": ("process.executable", "process.name"),
    "process.file.internal_name": ("process.pe.original_file_name",),
    "process.file.hashes": ("process.hash.sha256", "process.hash.sha1", "process.hash.md5"),
    "process.cmd_line": ("process.command_line", "process.args", "process.title"),
    "process.working_directory": ("process.working_directory",),
    "process.uid": ("process.entity_id",),
    "process.pid": ("process.pid",),
    "process.parent_process.file.path": ("process.parent.executable", "process.parent.name"),
    "process.parent_process.cmd_line": ("process.parent.command_line", "process.parent.args"),
    "process.parent_process.uid": ("process.parent.entity_id",),
    "process.parent_process.pid": ("process.parent.pid",),
    "module.file.path": ("dll.path",),
    "file.path": ("file.path",),
    "file.name": ("file.name",),
    "file.hashes": ("file.hash.sha256", "file.hash.sha1", "file.hash.md5"),
    "file.size": ("file.size",),
    "file.mime_type": ("file.mime_type",),
    "reg_key.path": ("registry.path",),
    "reg_value.data": ("registry.data.strings",),
    "service.name": ("service.name",),
    "src_endpoint.ip": ("source.ip", "client.ip"),
    "src_endpoint.port": ("source.port", "client.port"),
    "src_endpoint.hostname": ("source.domain", "client.domain", "source.address"),
    "dst_endpoint.ip": ("destination.ip", "server.ip"),
    "dst_endpoint.port": ("destination.port", "server.port"),
    "dst_endpoint.hostname": ("destination.domain", "server.domain", "destination.address"),
    "connection_info.protocol_name": ("network.transport",),
    "connection_info.direction": ("network.direction",),
    "connection_info.community_uid": ("network.community_id",),
    "traffic.bytes_out": ("source.bytes", "client.bytes"),
    "traffic.bytes_in": ("destination.bytes", "server.bytes"),
    "traffic.packets_out": ("source.packets", "client.packets"),
    "traffic.packets_in": ("destination.packets", "server.packets"),
    "query.hostname": ("dns.question.name",),
    "query.type": ("dns.question.type",),
    "answers": ("dns.resolved_ip",),
    "rcode": ("dns.response_code",),
    "http_request.http_method": ("http.request.method",),
    "http_request.url.hostname": ("url.domain",),
    "http_request.url.path": ("url.original", "url.path"),
    "http_request.user_agent": ("user_agent.original",),
    "http_response.code": ("http.response.status_code",),
    "tls.sni": ("tls.client.server_name",),
    "tls.version": ("tls.version",),
    "tls.ja3_hash": ("tls.client.ja3",),
    "tls.certificate.subject": ("tls.server.subject",),
    "cloud.account.uid": ("cloud.account.id",),
    "cloud.region": ("cloud.region",),
    "finding_info.uid": ("rule.id",),
    "finding_info.title": ("rule.name",),
    "email.from": ("email.from.address",),
    "email.to": ("email.to.address",),
    "email.subject": ("email.subject",),
}
_CLASSES: Final = {
    "process": "process_activity",
    "driver": "kernel_extension_activity",
    "library": "module_activity",
    "file": "file_activity",
    "registry": "registry_value_activity",
    "authentication": "authentication",
    "session": "authentication",
    "iam": "account_change",
    "network": "network_activity",
    "web": "http_activity",
    "email": "email_activity",
    "intrusion_detection": "detection_finding",
    "malware": "detection_finding",
    "threat": "detection_finding",
    "configuration": "device_config_state",
    "api": "api_activity",
    "package": "application_lifecycle",
}
_ACTIVITIES: Final = {
    "start": 1,
    "creation": 1,
    "end": 2,
    "deletion": 4,
    "access": 2,
    "change": 3,
    "connection": 1,
    "allowed": 1,
    "denied": 5,
}


_LISTS: Final = frozenset(
    {
        "process.cmd_line",
        "process.parent_process.cmd_line",
        "answers",
        "email.to",
        "reg_value.data",
    }
)
_FIRST_ONLY: Final = frozenset({"device.ip"})
_LINUX: Final = (
    *("linux", "debian", "ubuntu", "redhat", "rhel", "centos", "fedora", "suse", "sles", "amazon"),
    *("amzn", "alpine", "arch", "rocky", "almalinux", "oracle", "ol"),
)
_WORDS: Final = {"low": 2, "medium": 3, "high": 4, "critical": 5}
_SIGN_OUT: Final = r"(?i)log.?(off|out|ged.?out)|session.?end"
_EVE: Final = {"1": 4, "2": 3, "3": 2, "4": 1}


def matches(head: bytes) -> float:
    """Say 0.8 for JSON that names an ECS version, less for its usual field groups.

    >>> matches(b'{"@timestamp":"2020-01-01T00:00:00Z","ecs":{"version":"8.0"}}')
    0.8
    """
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{"):
        return 0.0
    if b'"ecs"' in head or b'"ecs.version"' in head:
        return 0.8
    has_event = b'"event"' in head or b'"event.category"' in head or b'"event.dataset"' in head
    return 0.5 if b'"@timestamp"' in head and has_event else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give events with OCSF columns beside the source's own fields as `unmapped.*`."""
    for records in decode(chunks):
        yield Parsed(_events(records), records.rejects)


def _events(records: Records) -> pl.DataFrame:
    fields = records.fields
    names = set(fields.columns)
    mapped: list[pl.Expr] = [*_class_of(names)]
    for column, sources in _COLUMNS.items():
        there = [_joined(column, s) for s in sources if s in names]
        known = column_named(column)
        if there and known:
            mapped.append(pl.coalesce(there).cast(known.dtype, strict=False).alias(column))
    mapped += [_system(names), _severity(names)]
    found = fields.select(mapped) if names else pl.DataFrame()
    if names:
        found = found.with_columns(_signed_in(fields, set(found.columns)))
    used = [s for s in found if s.null_count() < len(s)]
    times = [fields.get_column(n) for n in _TIMES if n in names]
    own = [s.alias(UNMAPPED + s.name) for s in fields]
    return pl.DataFrame([records.position, parse_times(times, fields.height), *used, *own])


def _joined(column: str, field: str) -> pl.Expr:
    """Write a list, which has been joined by newlines, as the column wants it."""
    if column in _FIRST_ONLY:
        return _first_word(field)
    mark = " " if column.endswith("cmd_line") else "; "
    return (
        pl.col(field).str.replace_all("\n", mark, literal=True)
        if column in _LISTS
        else pl.col(field)
    )


def _system(names: set[str]) -> pl.Expr:
    """Name the operating system so that its family is heard in it: `Ubuntu (linux)`."""
    name, kind, *families = (
        pl.col(n) if n in names else pl.lit(None, pl.String)
        for n in ("host.os.name", "host.os.type", "host.os.platform", "host.os.family")
    )
    linux = (f.is_in(_LINUX) for f in families)
    kind = pl.coalesce(kind, pl.when(pl.any_horizontal(linux)).then(pl.lit("linux")), *families)
    said = name.str.to_lowercase().str.contains(kind.str.to_lowercase(), literal=True)
    both = pl.concat_str(name, pl.lit(" ("), kind, pl.lit(")"))
    return pl.when(said).then(name).otherwise(pl.coalesce(both, kind, name)).alias("device.os.name")


def _severity(names: set[str]) -> pl.Expr:
    """Read an alert's severity: a word, Suricata's 1 (worst) to 4, else 0 to 100."""
    words, number, module = (
        pl.col(n) if n in names else pl.lit(None, pl.String)
        for n in ("kibana.alert.severity", "event.severity", "event.module")
    )
    score = number.cast(pl.Float64, strict=False)
    by_score = (
        pl.when(score >= 90).then(5).when(score >= 70).then(4).when(score >= 40).then(3)
        .when(score >= 20).then(2)
    )  # fmt: skip
    eve = pl.when(module == "suricata").then(number.replace_strict(_EVE, default=None))
    known = words.str.to_lowercase().replace_strict(_WORDS, default=None)
    return pl.coalesce(known, eve, by_score).cast(pl.Int32).alias("severity_id")


def _signed_in(fields: pl.DataFrame, has: set[str]) -> list[pl.Expr]:
    """Say who signed in, and that it was a sign-in, where ECS only has its one `user`."""
    is_login = pl.col("class_uid") == class_named("authentication").class_uid
    activity = pl.when(is_login & (pl.col("activity_id") == 0)).then(1)
    if "event.action" in fields.columns:
        ended = fields.get_column("event.action").str.contains(_SIGN_OUT).fill_null(value=False)
        activity = pl.when(is_login & (pl.col("activity_id") == 0)).then(
            pl.when(pl.lit(ended)).then(2).otherwise(1)
        )
    found = [pl.coalesce(activity.cast(pl.Int32), "activity_id").alias("activity_id")]
    if "actor.user.name" in has:
        target = [pl.col("user.name")] if "user.name" in has else []
        own = pl.when(is_login).then("actor.user.name")
        found.append(pl.coalesce(*target, own).alias("user.name"))
    return found


def _class_of(names: set[str]) -> list[pl.Expr]:
    """Give class and activity: the first category that is known, DNS told by its question."""
    none = pl.lit(None, pl.String)
    category = _first_word("event.category") if "event.category" in names else none
    table = {word: class_named(name).class_uid for word, name in _CLASSES.items()}
    uid = category.replace_strict(table, default=0, return_dtype=pl.Int32)
    if "dns.question.name" in names:
        is_dns = pl.col("dns.question.name").is_not_null()
        uid = pl.when(is_dns).then(class_named("dns_activity").class_uid).otherwise(uid)
    if "event.kind" in names:
        is_alert = pl.col("event.kind") == "alert"
        uid = pl.when(is_alert).then(class_named("detection_finding").class_uid).otherwise(uid)
    kind = pl.col("event.type") if "event.type" in names else none
    activity = pl.coalesce(
        pl.when(kind.str.contains(rf"(?m)^{word}$")).then(n) for word, n in _ACTIVITIES.items()
    ).fill_null(0)
    outcome = pl.col("event.outcome") if "event.outcome" in names else none
    status = outcome.replace_strict({"success": 1, "failure": 2}, default=None)
    return [
        uid.cast(pl.Int32).alias("class_uid"),
        activity.cast(pl.Int32).alias("activity_id"),
        status.cast(pl.Int32).alias("status_id"),
    ]


def _first_word(name: str) -> pl.Expr:
    # A list of words has been joined by newlines.
    return pl.col(name).str.extract(r"^([^\n]*)", 1)


__all__ = ["FORMAT", "matches", "parse", "split"]
