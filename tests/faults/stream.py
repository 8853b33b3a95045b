"""Say what is sent: an endless, seeded stream of requests; request number n is always the same.

Three tenants with a source of Windows events each, with what rules and correlations find, and lines
that cannot be read; every tenth request is an invoice.
"""

import random
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

SOURCES: Final = (("acme", "ws2"), ("bolt", "ws4"), ("coop", "ws3"))
"""One a tenant, on partitions of their own beside those of `business:erp`: what comes too late
and what nobody else does follow from an order that must not depend on which process died."""
TENANTS: Final = ("acme", "bolt", "coop")
PER_BODY: Final = 50
_TURN: Final = 10
_START_S: Final = 1_709_280_000  # 2024-03-01 08:00 UTC


@dataclass(frozen=True, slots=True)
class Request:
    """One request at the front door, and what the house must know of afterwards."""

    tenant: str
    path: str
    params: dict[str, str]
    body: bytes
    accepted: int
    """Status that says that it is kept."""
    source: str = ""
    records: range = field(default_factory=lambda: range(0))


def request(seed: int, n: int) -> Request:
    """Give request number n."""
    return _invoice(n) if n % _TURN == _TURN - 1 else _records(seed, n)


def first_requests() -> list[Request]:
    """Give what must be there before the stream: a vendor of each tenant."""
    return [
        _post(
            tenant,
            "/v1/vendors",
            vendor_id="v1",
            name="Vendor",
            bank_account="DE0100002",
            occurred_at=_text_of(_START_S) + "Z",
        )
        for tenant in TENANTS
    ]


def _post(tenant: str, path: str, **body: str | int) -> Request:
    return Request(tenant, path, {}, orjson.dumps(body), 201)


def _invoice(n: int) -> Request:
    moment = _START_S + n
    return _post(
        TENANTS[n // _TURN % len(TENANTS)],
        "/v1/invoices",
        invoice_id=f"i{n}",
        vendor_id="v1",
        amount_cents=10_000 + n * 37 % 5000,
        currency="EUR",
        on_behalf_of=f"clerk{n // _TURN % 4}",
        occurred_at=_text_of(moment) + "Z",
    )


def _text_of(moment_s: float) -> str:
    day, rest = divmod(moment_s - _START_S + 8 * 3600, 86_400)
    minutes, seconds = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f"2024-03-{1 + int(day):02}T{int(hours):02}:{int(minutes):02}:{seconds:06.3f}"


def _records(seed: int, n: int) -> Request:
    nth = n - n // _TURN  # among the requests with records
    tenant, source = SOURCES[nth % len(SOURCES)]
    first = nth // len(SOURCES) * PER_BODY
    dice = random.Random(f"{seed}/{n}")
    lines = [_line(dice, first + i, source) for i in range(PER_BODY)]
    where = {"source": source, "position": str(first), "format": "windows_json"}
    return Request(
        tenant,
        "/v1/ingest",
        where,
        b"\n".join(lines) + b"\n",
        202,
        source,
        range(first, first + PER_BODY),
    )


def _line(dice: random.Random, position: int, source: str) -> bytes:
    if dice.random() < 0.003:
        return b'{"EventID": 1, "Channel": '
    moment = _text_of(_START_S + position / 5)
    host = f"{source}-host{dice.randrange(6)}"
    event: dict[str, Any] = {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Hostname": host,
        "UtcTime": moment.replace("T", " "),
        "@timestamp": moment + "Z",
        "ProcessId": str(1000 + position),
        "User": f"CORP\\{source}-user{dice.randrange(5)}",
        "Image": f"C:\\Windows\\System32\\tool{dice.randrange(9)}.exe",
        "CommandLine": f"tool /n {position}",
    }
    if dice.random() < 0.004:
        event |= {
            "Image": "C:\\Windows\\System32\\vssadmin.exe",
            "OriginalFileName": "VSSADMIN.EXE",
            "CommandLine": "vssadmin.exe delete shadows /all /quiet",
        }
    elif dice.random() < 0.01:
        event |= {"Image": "C:\\Windows\\System32\\whoami.exe", "CommandLine": "whoami /all"}
    return orjson.dumps(event)
