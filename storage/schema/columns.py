"""List every event column: OCSF 1.x dotted name, type, unit and meaning, once.

A batch carries the envelope and any subset of the other columns; an absent column means that
no row has the attribute. What a source says beyond these columns stays addressable as text
under `unmapped.<the source's own field name>` (OCSF's name for it), for example
`unmapped.Image`, so that Sigma rules match on the very words of the source.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

UNMAPPED: Final = "unmapped."
"""Prefix of a source's own fields; their dtype is always String, null = the field is absent."""

TIME: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class Column:
    """Describe one column: `unit` is empty where the type says all."""

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""


def _text(name: str, meaning: str) -> Column:
    return Column(name, pl.String(), meaning)


def _int(name: str, meaning: str, unit: str = "", dtype: pl.DataType | None = None) -> Column:
    return Column(name, dtype or pl.Int64(), meaning, unit)


def _small(name: str, meaning: str) -> Column:
    return Column(name, pl.Int32(), meaning)


ENVELOPE: Final[tuple[Column, ...]] = (
    _text("tenant_id", "whose event this is; set from the authenticated source, never from data"),
    _text("event_id", "UUID text, time-ordered, derived from (tenant, source, position)"),
    Column("time", TIME, "when it happened", "us UTC"),
    Column("ingested_at", TIME, "when the house received it", "us UTC"),
    _text("source", "stable id of where the bytes came from: an agent, a file's hash, a listener"),
    _int("position", "the record's place in its source, from 0"),
    Column("is_late", pl.Boolean(), "older than the flow's watermark when it was read"),
    Column("is_time_clamped", pl.Boolean(), "claimed a time over 5 minutes ahead; now = arrival"),
    _small("category_uid", "OCSF category"),
    _small("class_uid", "OCSF class, or one of the house's business classes (9990xx)"),
    _small("activity_id", "OCSF activity within the class, 0 = unknown"),
    _int("type_uid", "class_uid * 100 + activity_id"),
    _small("severity_id", "OCSF severity: 0 unknown, 1 informational .. 6 fatal"),
    _text("metadata.log_format", "FORMAT of the parser that read it"),
    _text("metadata.product.name", "windows, linux, zeek, suricata, aws, inopsio, ..."),
)

DETAIL: Final[tuple[Column, ...]] = (
    _text("metadata.log_name", "channel or log file kind: Security, conn, eve.dns, ..."),
    _text("metadata.log_provider", "provider or program that wrote the record"),
    _text("metadata.event_code", "the source's own event number or name: 4688, alert, ..."),
    _text("message", "one human-readable line, as the source wrote it"),
    _text("raw_data", "the untouched record of a line-oriented text source"),
    _small("status_id", "1 success, 2 failure"),
    _text("status_detail", "why it failed, in the source's words"),
    _text("device.hostname", "host on which it happened"),
    _text("device.ip", "address of that host"),
    _text("device.os.name", "operating system of that host"),
    _text("actor.user.name", "account that acted"),
    _text("actor.user.uid", "SID, UID or ARN of that account"),
    _text("actor.user.domain", "its domain"),
    _text("actor.session.uid", "logon or session id it acted in"),
    _text("actor.process.file.path", "program that acted"),
    _text("actor.process.cmd_line", "its command line"),
    _int("actor.process.pid", "its process id"),
    _text("device.uid", "id of the device or browser a person acts from"),
    _text("user.name", "account acted upon (signed in, created, changed)"),
    _text("user.uid", "SID, UID or ARN of that account"),
    _text("user.domain", "its domain"),
    _text("process.file.path", "program started, stopped or touched"),
    _text("process.file.internal_name", "original file name in the program's own header"),
    _text("process.file.hashes", "hashes as the source lists them"),
    _text("process.cmd_line", "command line"),
    _text("process.working_directory", "directory it was started in"),
    _text("process.integrity", "integrity level"),
    _text("process.uid", "unique id of the process (GUID)"),
    _int("process.pid", "process id"),
    _text("process.parent_process.file.path", "program of the parent"),
    _text("process.parent_process.cmd_line", "command line of the parent"),
    _text("process.parent_process.uid", "unique id of the parent (GUID)"),
    _int("process.parent_process.pid", "process id of the parent"),
    _text("module.file.path", "library or driver loaded"),
    _text("file.path", "file touched, whole path"),
    _text("file.name", "file touched, name only"),
    _text("file.hashes", "hashes as the source lists them"),
    _int("file.size", "size of the file", "bytes"),
    _text("file.mime_type", "media type"),
    _text("reg_key.path", "registry key and value, whole path"),
    _text("reg_value.data", "registry data written"),
    _text("service.name", "service or scheduled task"),
    _text("src_endpoint.ip", "address of the opener"),
    _small("src_endpoint.port", "port of the opener"),
    _text("src_endpoint.hostname", "name of the opener"),
    _text("dst_endpoint.ip", "address of the answerer"),
    _small("dst_endpoint.port", "port of the answerer"),
    _text("dst_endpoint.hostname", "name of the answerer"),
    _text("connection_info.protocol_name", "tcp, udp, icmp, ..."),
    _text("connection_info.direction", "inbound, outbound, lateral"),
    _text("connection_info.community_uid", "community-id v1"),
    _text("connection_info.state", "state of the connection in the source's words"),
    _int("traffic.bytes_out", "from opener to answerer", "bytes"),
    _int("traffic.bytes_in", "from answerer to opener", "bytes"),
    _int("traffic.packets_out", "from opener to answerer", "packets"),
    _int("traffic.packets_in", "from answerer to opener", "packets"),
    _int("duration", "how long it lasted", "ms"),
    _text("query.hostname", "DNS name asked"),
    _text("query.type", "DNS type asked"),
    _text("answers", "DNS answers, joined by '; '"),
    _text("rcode", "DNS answer code by name"),
    _text("http_request.http_method", "GET, POST, ..."),
    _text("http_request.url.hostname", "host asked"),
    _text("http_request.url.path", "path and query asked"),
    _text("http_request.user_agent", "what the client says it is"),
    _small("http_response.code", "status code"),
    _text("tls.sni", "server name asked for"),
    _text("tls.version", "version agreed"),
    _text("tls.ja3_hash", "JA3 of the client"),
    _text("tls.ja4", "JA4 of the client"),
    _text("tls.certificate.subject", "subject of the server's certificate"),
    _text("auth_protocol", "Kerberos, NTLM, password, publickey, ..."),
    _small("logon_type_id", "2 interactive, 3 network, 4 batch, 5 service, 10 remote, ..."),
    _text("api.operation", "cloud or SaaS operation called"),
    _text("api.service.name", "service it was called on"),
    _text("cloud.account.uid", "cloud account"),
    _text("cloud.region", "cloud region"),
    _text("finding_info.uid", "id of the foreign product's alert rule"),
    _text("finding_info.title", "title of the foreign product's alert"),
    _text("email.from", "sender of a mail"),
    _text("email.to", "recipients of a mail, joined by '; '"),
    _text("email.subject", "subject of a mail"),
    _text("document.type", "invoice, payment, vendor, ..."),
    _text("document.uid", "number of the business document"),
    _text("document.version", "version of the business document"),
    _text("document.status", "draft, issued, approved, paid, held, ..."),
    _text("vendor.uid", "id of the supplier"),
    _text("vendor.name", "name of the supplier"),
    _text("vendor.bank_account", "IBAN or account the supplier is paid to"),
    _text("customer.uid", "id of the customer"),
    _text("customer.name", "name of the customer"),
    _text("person.uid", "id of an employee in the company's own registers"),
    _text("person.name", "name of that employee"),
    _text("person.bank_account", "IBAN or account the employee is paid to"),
    _text("item.uid", "id of a thing bought, stocked or sold"),
    _text("item.name", "its name"),
    _int("record_count", "records touched, exported or moved at once"),
    Column("discount_percent", pl.Float64(), "reduction against the list price", "percent"),
    _int("amount_cents", "amount in minor units of the currency", "minor units"),
    _text("currency", "ISO 4217"),
)

COLUMNS: Final[tuple[Column, ...]] = ENVELOPE + DETAIL

_BY_NAME: Final = {column.name: column for column in COLUMNS}


def column_named(name: str) -> Column | None:
    """Give the column of that name, or None for an `unmapped.` or unknown one."""
    return _BY_NAME.get(name)


def dtypes(*names: str) -> dict[str, pl.DataType]:
    """Give name -> dtype for the columns named (all of them if none is named).

    >>> dtypes("process.pid")
    {'process.pid': Int64}
    """
    return {n: _BY_NAME[n].dtype for n in names or _BY_NAME}
