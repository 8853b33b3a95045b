"""Make Windows events as a shipper exports them, for tests of the whole flow."""

import orjson

from storage.log import Record

RULE = """
title: Whoami was started
id: 11111111-2222-4333-8444-555555555555
status: test
level: medium
logsource: {category: process_creation, product: windows}
detection:
    selection:
        Image|endswith: '\\\\whoami.exe'
    condition: selection
"""


def line(i: int) -> bytes:
    """Give event number i of a source: every 50th starts whoami."""
    program = "whoami" if i % 50 == 7 else f"tool{i % 9}"
    seconds = i // 2 % 86_400
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return orjson.dumps(
        {
            "EventID": 1,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "SourceName": "Microsoft-Windows-Sysmon",
            "Hostname": f"host{i % 5}",
            "@timestamp": f"2024-03-01T{clock}.{i % 2 * 500:03}Z",
            "UtcTime": f"2024-03-01 {clock}.{i % 2 * 500:03}",
            "Image": f"C:\\Windows\\System32\\{program}.exe",
            "CommandLine": f"{program} /n {i}",
            "User": f"ACME\\user{i % 3}",
            "ProcessId": str(1000 + i),
        }
    )


def messages(events: int, per_message: int, tenant: str, source: str) -> list[Record]:
    """Give a source of that many events as messages for the raw topic."""
    return [
        Record(
            f"{tenant}\x1f{source}".encode(),
            b"\n".join(line(i) for i in range(first, min(first + per_message, events))) + b"\n",
            {
                "tenant": tenant,
                "source": source,
                "position": str(first),
                "format": "windows_json",
                "name": f"{source}.json",
            },
        )
        for first in range(0, events, per_message)
    ]
