"""Make streams of ECS JSON lines, as many as wanted, from the recorded Windows events of OTRF.

The values (paths, command lines, addresses, names) are those that were recorded; each agent has a
host of its own, and time goes on by 5,000 events a second. About 600 bytes and 25 fields a line.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.otrf import base_lines
from storage.log import Record

TENANTS: Final = ("acme", "bolt")
AGENTS: Final = 200
A_SECOND: Final = 5000
_TIME: Final = b"@TIME@"
_HOST: Final = b"@HOST@"


def templates() -> list[bytes]:
    """Give one ECS line for each recorded event of a kind that ECS knows, time and host open."""
    found = [_ecs(json.loads(line)) for line in base_lines(3)]
    return [json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in found if event]


def _ecs(event: dict[str, Any]) -> dict[str, Any] | None:
    code = str(event.get("EventID"))
    make = _KINDS.get((str(event.get("Channel", ""))[:26], code))
    if make is None:
        return None
    category, kind, more = make
    user = str(event.get("User") or event.get("TargetUserName") or "NT AUTHORITY\\SYSTEM")
    domain, _, name = user.rpartition("\\")
    made: dict[str, Any] = {
        "@timestamp": _TIME.decode(),
        "ecs": {"version": "8.11.0"},
        "agent": {"type": "endpoint", "version": "8.14.1"},
        "event": {"category": [category], "type": [kind], "code": code, "kind": "event",
                  "module": "sysmon", "outcome": "success"},
        "host": {"hostname": _HOST.decode(), "os": {"type": "windows", "name": "Windows"},
                 "ip": ["10.20.30.40"]},
        "user": {"name": name, "domain": domain},
        "process": {"executable": event.get("Image") or event.get("NewProcessName"),
                    "pid": _number(event.get("ProcessId")), "entity_id": event.get("ProcessGuid")},
    }  # fmt: skip
    more(made, event)
    return made


def _number(value: object) -> int | None:
    text = str(value)
    return int(text, 0) if text.isdecimal() or text.startswith("0x") else None


def _process(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["process"] |= {
        "command_line": event.get("CommandLine"),
        "hash": {"sha256": str(event.get("Hashes", "")).rpartition("SHA256=")[2][:64]},
        "parent": {
            "executable": event.get("ParentImage"),
            "command_line": event.get("ParentCommandLine"),
            "pid": _number(event.get("ParentProcessId")),
        },
    }


def _network(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["source"] = {
        "ip": event.get("SourceIp") or event.get("SourceAddress"),
        "port": _number(event.get("SourcePort")),
    }
    made["destination"] = {
        "ip": event.get("DestinationIp") or event.get("DestAddress"),
        "port": _number(event.get("DestinationPort") or event.get("DestPort")),
        "domain": event.get("DestinationHostname"),
    }
    made["network"] = {"transport": "tcp", "direction": "egress"}


def _dns(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["dns"] = {"question": {"name": event.get("QueryName"), "type": "A"}}


def _file(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["file"] = {"path": event.get("TargetFilename")}


def _library(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["dll"] = {"path": event.get("ImageLoaded")}


def _registry(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["registry"] = {
        "path": event.get("TargetObject"),
        "data": {"strings": [event.get("Details") or ""]},
    }


def _login(made: dict[str, Any], event: dict[str, Any]) -> None:
    made["source"] = {"ip": event.get("IpAddress"), "port": _number(event.get("IpPort"))}


_SYSMON: Final = "Microsoft-Windows-Sysmon/Operational"[:26]
_KINDS: Final = {
    (_SYSMON, "1"): ("process", "start", _process),
    (_SYSMON, "3"): ("network", "connection", _network),
    (_SYSMON, "7"): ("library", "start", _library),
    (_SYSMON, "11"): ("file", "creation", _file),
    (_SYSMON, "12"): ("registry", "change", _registry),
    (_SYSMON, "13"): ("registry", "change", _registry),
    (_SYSMON, "22"): ("network", "protocol", _dns),
    ("Security", "4688"): ("process", "start", _process),
    ("Security", "5156"): ("network", "connection", _network),
    ("Security", "4624"): ("authentication", "start", _login),
}


def records(lines: list[bytes], events: int, per_message: int, begin_us: int) -> Iterator[Record]:
    """Give messages of `per_message` lines, agents taking turns, as the front door makes them."""
    positions = [0] * AGENTS
    for n, first in enumerate(range(0, events, per_message)):
        agent = n % AGENTS
        tenant, host = TENANTS[agent % len(TENANTS)], f"ws-{agent:04}".encode()
        value = b"".join(
            lines[i % len(lines)]
            .replace(_TIME, _text(begin_us + i * 1_000_000 // A_SECOND))
            .replace(_HOST, host)
            for i in range(first, min(first + per_message, events))
        )
        source = f"agent-{agent:04}"
        headers = {
            "tenant": tenant, "source": source, "position": str(positions[agent]),
            "format": "ecs_json", "name": source, "trace_id": f"{n:032x}",
        }  # fmt: skip
        positions[agent] += per_message
        yield Record(f"{tenant}/{source}".encode(), value, headers)


def _text(time_us: int) -> bytes:
    return (
        datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")[:-6].encode()
        + b"Z"
    )
