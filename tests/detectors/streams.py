"""Make small streams of events with planted oddities, for the detector conformance suite."""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from storage.identity import event_ids
from storage.schema import COLUMNS, EventBatch

START_US = 1_780_000_000_000_000
MINUTE_US = 60_000_000
_TYPES = {c.name: c.dtype for c in COLUMNS}


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Give rows (with at least tenant_id, time_us, class_uid) as a legal event frame."""
    names = [c.name for c in COLUMNS[:15]]
    more = sorted({k for row in rows for k in row} - {*names, "time_us"})
    data = {n: [row.get(n) for row in rows] for n in [*names, *more]}
    frame = pl.DataFrame(
        {n: pl.Series(n, v, strict=False).cast(_TYPES.get(n, pl.String())) for n, v in data.items()}
    )
    time_us = pl.Series("time", [int(row["time_us"]) for row in rows])
    ids = (
        pl.concat(
            [
                event_ids(str(row["tenant_id"]), "stream", time_us.slice(i, 1), pl.Series([i]))
                for i, row in enumerate(rows)
            ]
        )
        if rows
        else pl.Series("event_id", [], pl.String())
    )
    return frame.with_columns(
        time_us.cast(pl.Datetime("us", "UTC")),
        ids.alias("event_id"),
        pl.lit(value=False).alias("is_late"),
        pl.int_range(len(rows), dtype=pl.Int64).alias("position"),
    )


def company(tenant: str, seed: int = 7, hours: int = 60) -> list[dict[str, Any]]:
    """Give a quiet company of three hosts and two vendors, with a burst and a giant invoice."""
    dice = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for minute in range(hours * 60):
        at = START_US + minute * MINUTE_US
        rows += [
            _event(tenant, at + dice.randrange(MINUTE_US), 1007, host)
            for host in ("web1", "pc7", "pc8")
        ]
        if minute % 30 == 0:
            vendor = dice.choice(["V-1", "V-2"])
            rows.append(_invoice(tenant, at, vendor, 10_000 + dice.randrange(500), minute))
    late = START_US + (hours * 60 - 40) * MINUTE_US
    rows += [_event(tenant, late + i * 1000, 1007, "pc7") for i in range(3000)]
    rows.append(_invoice(tenant, late, "V-1", 900_000, 10**6))
    rows += _oddities(tenant)
    return sorted(rows, key=lambda r: int(r["time_us"]))


def _oddities(tenant: str) -> list[dict[str, Any]]:
    """Give something for every other detector to find, one after the other."""
    flood = [
        _flow(tenant, 170, f"198.51.{n // 250}.{n % 250}", "10.1.1.20", 40) for n in range(600)
    ]
    inside = [
        _flow(tenant, 1 + i, f"10.1.1.{i}", f"198.51.100.{i}", 900, "zeek") for i in range(30)
    ]
    beacon = [_flow(tenant, 40 + m, "10.1.1.7", "203.0.113.7", 420, "zeek") for m in range(70)]
    upload = [_flow(tenant, 130 + m, "10.1.1.8", "203.0.113.8", 60_000_000) for m in range(3)]
    spray = [
        _sign_in(tenant, 140, f"user{n}@corp.example", "203.0.113.9", 2, second=n)
        for n in range(25)
    ]
    entered = _sign_in(tenant, 145, "user3@corp.example", "203.0.113.9", 1, "d-new", "ZZ")
    home = _sign_in(tenant, 2, "user3@corp.example", "192.0.2.1", 1, "d-old", "DE")
    files = [
        _at(tenant, 150, 1001, n)
        | {
            "activity_id": 1,
            "device.hostname": "fs1",
            "file.path": f"D:\\share\\plan{n}.docx.crypt9",
            "unmapped.ProcessGuid": "{p1}",
        }
        for n in range(120)
    ]
    exports = [
        _at(tenant, 3 + n, 999014)
        | {"activity_id": 1, "actor.user.name": f"seller{n % 3}", "record_count": 40}
        for n in range(12)
    ]
    exports.append(
        _at(tenant, 160, 999014)
        | {"activity_id": 1, "actor.user.name": "seller1", "record_count": 9_000}
    )
    reached = _flow(tenant, 5, "203.0.113.44", "10.1.1.9", 700) | {"traffic.bytes_in": 4_000}
    weak = _at(tenant, 6, 2002) | {
        "activity_id": 1,
        "severity_id": 5,
        "device.hostname": "web1",
        "finding_info.title": "OpenSSL reads out of bounds",
        "unmapped.vulnerabilities": '[{"cve": {"uid": "CVE-2026-10001"}}]',
    }
    return [
        reached,
        weak,
        *flood,
        *inside,
        *beacon,
        *upload,
        *spray,
        home,
        entered,
        *files,
        *exports,
        *_one_hand(tenant),
        *_relatives(tenant),
        *_remote(tenant),
        *_intruder(tenant),
    ]


def _at(tenant: str, minute: int, class_uid: int, second: int = 0) -> dict[str, Any]:
    time_us = START_US + minute * MINUTE_US + second * 250_000
    return {"tenant_id": tenant, "time_us": time_us, "class_uid": class_uid}


def _flow(
    tenant: str, minute: int, src: str, dst: str, sent: int, product: str = "zeek"
) -> dict[str, Any]:
    return _at(tenant, minute, 4001) | {
        "activity_id": 6,
        "src_endpoint.ip": src,
        "dst_endpoint.ip": dst,
        "dst_endpoint.port": 443,
        "connection_info.protocol_name": "tcp",
        "traffic.bytes_out": sent,
        "metadata.product.name": product,
        "metadata.log_format": "sample",
    }


def _sign_in(
    tenant: str,
    minute: int,
    user: str,
    ip: str,
    status: int,
    device: str = "",
    country: str = "",
    second: int = 0,
) -> dict[str, Any]:
    return _at(tenant, minute, 3002, second) | {
        "activity_id": 1,
        "status_id": status,
        "user.name": user,
        "src_endpoint.ip": ip,
        "device.uid": device or None,
        "unmapped.location.country": country or None,
        "metadata.log_format": "sample",
    }


def _one_hand(tenant: str) -> list[dict[str, Any]]:
    vendor = {"vendor.uid": "V-9", "vendor.name": "Shade Ltd", "actor.user.name": "eve.moss"}
    invoice = vendor | {"document.uid": "INV-S", "amount_cents": 5_000, "currency": "EUR"}
    payments = [
        _at(tenant, 170 + n, 999002)
        | vendor
        | {
            "activity_id": 1,
            "document.uid": f"PAY-{n}",
            "amount_cents": 90_000 if n == 8 else 5_000 + n,
            "currency": "EUR",
        }
        for n in range(9)
    ]
    return [
        _at(tenant, 161, 999005)
        | {"activity_id": 1, "user.name": "eve.moss", "person.bank_account": "DE02 1203 0000"},
        _at(tenant, 162, 999003)
        | vendor
        | {"activity_id": 1, "vendor.bank_account": "DE0212030000"}
        | {"unmapped.domain": "shade.example"},
        _at(tenant, 163, 999001) | invoice | {"activity_id": 1},
        _at(tenant, 164, 999001) | invoice | {"activity_id": 6},
        *payments,
    ]


def _relatives(tenant: str) -> list[dict[str, Any]]:
    return [
        _at(tenant, 180, 999005)
        | {"activity_id": 1, "user.name": "max.orr", "unmapped.private_mail": "Max@home.example"},
        _at(tenant, 181, 999012)
        | {"activity_id": 1, "customer.uid": "C-9", "unmapped.mail": "max@home.example"},
        *(
            _at(tenant, 182 + n, 999013)
            | {
                "activity_id": 6,
                "actor.user.name": "sid.kay",
                "customer.uid": "C-9",
                "document.uid": f"D-{n}",
                "discount_percent": 40.0 + n,
            }
            for n in range(4)
        ),
    ]


def _remote(tenant: str) -> list[dict[str, Any]]:
    return [
        _sign_in(tenant, 190, "CORP\\adm", "10.1.1.7", 1)
        | {"device.hostname": "srv9", "logon_type_id": 3},
        _at(tenant, 191, 1007)
        | {
            "activity_id": 1,
            "device.hostname": "srv9",
            "process.file.path": "C:\\Windows\\System32\\cmd.exe",
            "process.parent_process.file.path": "C:\\Windows\\System32\\wbem\\WmiPrvSE.exe",
            "process.cmd_line": "cmd.exe /Q /c whoami",
            "metadata.product.name": "windows",
            "metadata.log_format": "sample",
        },
    ]


def _intruder(tenant: str) -> list[dict[str, Any]]:
    """Give a scan, a fan-out, a tunnel, a new service and a stop, on the second day."""
    day = 26 * 60
    ports = [
        _flow(tenant, day, "10.1.1.66", "10.1.1.20", 60, "inopsio")
        | {"dst_endpoint.port": n + 1, "connection_info.state": "refused", "traffic.bytes_in": 0}
        for n in range(50)
    ]
    teacher = _flow(tenant, 4, "10.1.1.5", "10.1.1.20", 60) | {"dst_endpoint.port": 22}
    reached = [
        _flow(tenant, day + 2, "10.1.1.66", f"10.1.1.{n + 20}", 900) | {"dst_endpoint.port": 445}
        for n in range(12)
    ]
    service = _flow(tenant, day + 3, "203.0.113.50", "10.1.1.20", 900)
    service |= {"dst_endpoint.port": 8443, "traffic.bytes_in": 5_000}
    names = [
        _at(tenant, day + 4, 4003, n)
        | {
            "activity_id": 1,
            "src_endpoint.ip": "10.1.1.66",
            "query.hostname": f"{n:04d}aaaabbbbccccddddeeeeffff.t.example",
            "metadata.log_format": "sample",
        }
        for n in range(70)
    ]
    stop = _at(tenant, day + 5, 0) | {
        "activity_id": 0,
        "metadata.log_name": "s7comm",
        "src_endpoint.ip": "10.1.1.66",
        "dst_endpoint.ip": "10.1.9.1",
        "unmapped.function": "stop controller",
        "unmapped.is_request": "true",
        "unmapped.is_write": "true",
        "metadata.log_format": "sample",
    }
    return [*ports, teacher, *reached, service, *names, stop]


def _event(tenant: str, time_us: int, class_uid: int, host: str) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "time_us": time_us,
        "class_uid": class_uid,
        "activity_id": 1,
        "device.hostname": host,
        "metadata.product.name": "linux",
        "metadata.log_format": "sample",
        "process.cmd_line": "xmrig --donate-level 1" if time_us % 997 == 0 else "ls",
    }


def _invoice(tenant: str, time_us: int, vendor: str, cents: int, number: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "time_us": time_us,
        "class_uid": 999001,
        "activity_id": 1,
        "vendor.uid": vendor,
        "vendor.name": vendor,
        "currency": "EUR",
        "amount_cents": cents,
        "document.uid": f"INV-{number}",
        "metadata.log_format": "sample",
    }


def batches(frame: pl.DataFrame, cuts: list[int]) -> Iterator[EventBatch]:
    """Cut a frame into batches at the given rows (sorted, deduplicated here)."""
    edges = [0, *sorted({c for c in cuts if 0 < c < frame.height}), frame.height]
    for start, end in itertools.pairwise(edges):
        for piece in frame.slice(start, end - start).iter_slices(8192):
            yield EventBatch.of(piece)
