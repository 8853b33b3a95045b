"""Write small streams as their sources write them, and run both flows over them.

Times are minutes after the start; every record goes through its own parser, as on the way in.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, Final

import polars as pl

from detectors import CONTRACT, correlation
from pipelines.parsing import parse_stream
from pipelines.signals import frame_of
from storage.plugins import discover
from storage.schema import Context, EventBatch, Finding, State
from storage.schema.indicator import Known
from tests.walks.path import NOW_US, house_rules, rule_id

START: Final = datetime(2025, 11, 3, 8, 0, tzinfo=UTC)
DAY: Final = 24 * 60
SYSMON: Final = "Microsoft-Windows-Sysmon/Operational"
Record = tuple[str, str, dict[str, Any]]
"""Source, format, record."""


def at(minute: float) -> str:
    """Give the moment as sources write it."""
    return (START + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def windows(minute: float, host: str, ip: str, channel: str, code: int, **fields: object) -> Record:
    """Give a Windows event as a collector ships it."""
    record = {
        "EventTime": at(minute),
        "Hostname": host,
        "MessageSourceAddress": ip,
        "Channel": channel,
        "EventID": code,
        **fields,
    }
    return "wec", "windows_json", record


def process(minute: float, host: str, ip: str, user: str, **fields: object) -> Record:
    """Give a process start of Sysmon."""
    return windows(minute, host, ip, SYSMON, 1, User=f"MERIDIAN\\{user}", **fields)


def written(minute: float, host: str, path: str, image: str) -> Record:
    """Give a file creation of Sysmon."""
    fields = {"TargetFilename": path, "Image": image, "ProcessGuid": "{9f-1}"}
    return windows(minute, host, "10.20.0.30", SYSMON, 11, **fields)


def logon(minute: float, host: str, ip: str, user: str, kind: int, source: str) -> Record:
    """Give a sign-in of the Security log."""
    fields = {"TargetUserName": user, "LogonType": kind, "IpAddress": source}
    return windows(minute, host, ip, "Security", 4624, **fields)


def flow(minute: float, src: str, dst: str, sent: int) -> Record:
    """Give a connection as Zeek writes it."""
    stamp = (START + timedelta(minutes=minute)).timestamp()
    record = {
        "ts": stamp,
        "uid": f"C{minute}{src}{dst}",
        "id.orig_h": src,
        "id.orig_p": 50000,
        "id.resp_h": dst,
        "id.resp_p": 443,
        "proto": "tcp",
        "duration": 1.5,
        "orig_bytes": sent,
        "resp_bytes": 900,
        "conn_state": "SF",
        "_path": "conn",
    }
    return "zeek-conn", "zeek_json", record


def name_asked(minute: float, src: str, name: str, address: str) -> Record:
    """Give a DNS question and answer as Zeek writes them."""
    stamp = (START + timedelta(minutes=minute)).timestamp()
    record = {
        "ts": stamp,
        "id.orig_h": src,
        "id.resp_h": "10.20.0.2",
        "query": name,
        "qtype_name": "A",
        "answers": [address],
        "trans_id": 7,
        "_path": "dns",
    }
    return "zeek-dns", "zeek_json", record


def ocsf(minute: float, source: str, class_uid: int, activity_id: int, **fields: object) -> Record:
    """Give an OCSF record; `__` in a name stands for a dot."""
    dotted = {name.replace("__", "."): value for name, value in fields.items()}
    record = {"time": at(minute), "class_uid": class_uid, "activity_id": activity_id, **dotted}
    return source, "ocsf_json", record


def sign_in(
    minute: float, user: str, ip: str, device: str, country: str, *, good: bool = True
) -> Record:
    """Give a sign-in at the identity provider."""
    return ocsf(
        minute,
        "idp",
        3002,
        1,
        user__name=f"{user}@meridian.example",
        status_id=1 if good else 2,
        src_endpoint__ip=ip,
        device__uid=device,
        location__country=country,
    )


def enrolled(minute: float, user: str, ip: str) -> Record:
    """Give the enrolment of a second factor."""
    who = {"user__name": f"{user}@meridian.example", "src_endpoint__ip": ip}
    return ocsf(minute, "idp", 3001, 7, api__operation="mfa.enroll", **who)


def mail_rule(minute: float, user: str, text: str) -> Record:
    """Give a new rule of a mailbox."""
    who = {"actor__user__name": f"{user}@meridian.example", "src_endpoint__ip": "203.0.113.5"}
    return ocsf(minute, "mailbox", 6003, 1, api__operation="New-InboxRule", parameters=text, **who)


def fact(minute: float, user: str, class_uid: int, activity_id: int, **fields: object) -> Record:
    """Give a fact of a business module."""
    who = {"actor__user__name": user, "metadata__product__name": "inopsio"}
    return ocsf(minute, "business:erp", class_uid, activity_id, **who, **fields)


def told(records: Iterable[Record], indicators: Mapping[str, Known] | None = None) -> list[Finding]:
    """Give all that the detectors of both flows claim of these records, put in order of time.

    `indicators`: tenant -> what its feeds call hostile.
    """
    stream = stream_of(records)
    rules = {"": house_rules()}
    found: list[Finding] = []
    for module in discover("detectors", CONTRACT).values():
        if module.META.flow == "events":
            found += _folded(module, stream, indicators or {})
    signals = frame_of(sorted(found, key=lambda f: (f.time_us, f.finding_id)), NOW_US)
    state: State = correlation.META.empty_state()
    for piece in signals.iter_slices(8192):
        context = Context(watermark_us=0, rules=rules)
        state, more = correlation.detect(state, EventBatch.of(piece), context)
        found += more
    return found


def rules_of(found: Iterable[Finding], *, opening: bool = False) -> set[str]:
    """Give the rule ids claimed; with `opening` only those that open an incident."""
    return {f.rule_id for f in found if not opening or opens(f)}


def opens(finding: Finding) -> bool:
    """Answer whether the finding opens an incident."""
    return finding.kind == "finding" and finding.level in {"high", "critical"}


def claimed(found: Iterable[Finding], stem: str) -> Finding:
    """Give the one claim of the house rule in the file of that name."""
    (one,) = [f for f in found if f.rule_id == rule_id(stem)]
    return one


def stream_of(records: Iterable[Record]) -> pl.DataFrame:
    """Give the events of the records, each read by its parser, in order of time."""
    frames = []
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for source, log_format, record in records:
        lines.setdefault((source, log_format), []).append(record)
    for (source, log_format), own in lines.items():
        raw = "\n".join(json.dumps(r) for r in own).encode()
        for batch, rejects in parse_stream(
            log_format, [raw], tenant_id="acme", source=source, ingested_at_us=NOW_US
        ):
            assert not rejects
            frames.append(batch.frame)
    return pl.concat(frames, how="diagonal").sort("time", maintain_order=True)


def _folded(
    module: ModuleType, stream: pl.DataFrame, indicators: Mapping[str, Known]
) -> Iterator[Finding]:
    state: State = module.META.empty_state()
    rules = {"": house_rules()}
    for piece in stream.iter_slices(2000):
        newest = piece.select(pl.col("time").cast(pl.Int64).max()).item()
        context = Context(watermark_us=newest, rules=rules, indicators=indicators)
        state, found = module.detect(state, EventBatch.of(piece), context)
        yield from found
