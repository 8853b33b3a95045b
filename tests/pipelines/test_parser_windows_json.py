import json
import zipfile
from typing import Any

import polars as pl
import pytest

from pipelines.parsers.windows_json import matches, parse
from tests.shared import shared_data

SYSMON = "Microsoft-Windows-Sysmon/Operational"
IMAGE = r"C:\Windows\System32\cmd.exe"
# One process creation as each shipper writes it; layouts from the shippers' own documentation.
LAYOUTS: dict[str, dict[str, Any]] = {
    "nxlog": {
        "EventTime": "2020-09-21 22:13:35",
        "Hostname": "WS1",
        "EventID": 1,
        "SourceName": "Microsoft-Windows-Sysmon",
        "Channel": SYSMON,
        "UtcTime": "2020-09-22 02:13:35.797",
        "Image": IMAGE,
        "ProcessId": "42",
        "User": "ACME\\eve",
    },
    "winlogbeat": {
        "@timestamp": "2020-09-22T02:13:35.797Z",
        "event": {"code": "1"},
        "winlog": {
            "channel": SYSMON,
            "event_id": "1",
            "provider_name": "Microsoft-Windows-Sysmon",
            "computer_name": "WS1",
            "event_data": {"Image": IMAGE, "ProcessId": "42", "User": "ACME\\eve"},
        },
    },
    "wazuh": {
        "win": {
            "system": {
                "eventID": "1",
                "channel": SYSMON,
                "computer": "WS1",
                "providerName": "Microsoft-Windows-Sysmon",
                "systemTime": "2020-09-22T02:13:35.797000000Z",
            },
            "eventdata": {"image": IMAGE, "processId": "42", "user": "ACME\\eve"},
        }
    },
    "evtx_dump": {
        "Event": {
            "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
            "System": {
                "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
                "EventID": 1,
                "TimeCreated": {"#attributes": {"SystemTime": "2020-09-22T02:13:35.797Z"}},
                "Channel": SYSMON,
                "Computer": "WS1",
            },
            "EventData": {"Image": IMAGE, "ProcessId": 42, "User": "ACME\\eve"},
        }
    },
}


def frame_of(*events: dict[str, Any]) -> pl.DataFrame:
    text = b"\n".join(json.dumps(e).encode() for e in events)
    assert matches(text) > 0.9
    (found,) = parse([text])
    assert not found.rejects
    return found.frame


@pytest.mark.parametrize("shipper", LAYOUTS)
def test_every_shipper_gives_the_same_event(shipper: str) -> None:
    row = frame_of(LAYOUTS[shipper]).row(0, named=True)
    want = {
        "class_uid": 1007,
        "activity_id": 1,
        "process.file.path": IMAGE,
        "process.pid": 42,
        "actor.user.name": "eve",
        "actor.user.domain": "ACME",
        "device.hostname": "WS1",
        "metadata.event_code": "1",
        "metadata.log_name": SYSMON,
        "unmapped.Image": IMAGE,
        "unmapped.EventID": "1",
        "unmapped.Channel": SYSMON,
        "metadata.log_provider": "Microsoft-Windows-Sysmon",
    }
    assert {k: row.get(k) for k in want} == want
    assert row["time"].isoformat() == "2020-09-22T02:13:35.797000+00:00"


def test_original_values_keep_empty_absent_and_boolean_apart() -> None:
    frame = frame_of(
        {"EventID": 3, "Channel": SYSMON, "RuleName": "", "Initiated": True, "User": None},
        {"EventID": 3, "Channel": SYSMON, "Initiated": False, "Data": ["a", "b"]},
    )
    assert frame["unmapped.RuleName"].to_list() == ["", None]
    assert frame["unmapped.Initiated"].to_list() == ["true", "false"]
    assert frame["unmapped.User"].to_list() == [None, None]
    assert frame["unmapped.Data"].to_list() == [None, "a\nb"]
    assert frame["connection_info.direction"].to_list() == ["outbound", "inbound"]


def security(number: int, **data: Any) -> dict[str, Any]:  # noqa: ANN401  any field value
    return {"EventID": number, "Channel": "Security", "Hostname": "DC1", **data}


def test_security_events_map_actor_target_and_outcome() -> None:
    row = frame_of(
        security(
            4625,
            SubjectUserName="-",
            TargetUserName="bob",
            TargetDomainName="ACME",
            LogonType="3",
            IpAddress="10.1.2.3",
            IpPort="5000",
            Keywords="0x8010000000000000",
        )
    ).row(0, named=True)
    want = {
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 2,
        "severity_id": 2,
        "user.name": "bob",
        "logon_type_id": 3,
        "src_endpoint.ip": "10.1.2.3",
        "src_endpoint.port": 5000,
    }
    assert {k: row.get(k) for k in want} == want
    assert "actor.user.name" not in row
    assert row["unmapped.SubjectUserName"] == "-"


def test_hexadecimal_process_ids_are_numbers() -> None:
    row = frame_of(security(4688, NewProcessId="0x1a4", ProcessId="0x4", NewProcessName=IMAGE)).row(
        0, named=True
    )
    assert row["process.pid"] == 0x1A4
    assert row["process.parent_process.pid"] == 4


def test_object_access_is_registry_process_or_file_by_object_type() -> None:
    kinds = ("Key", "Process", "File")
    frame = frame_of(
        *(security(4663, ObjectType=k, ObjectName="o", ProcessName="p") for k in kinds)
    )
    assert frame["class_uid"].to_list() == [201001, 1007, 1001]
    assert frame["reg_key.path"].to_list() == ["o", None, None]
    assert frame["file.path"].to_list() == [None, None, "o"]


def test_an_unknown_event_is_kept_without_class() -> None:
    frame = frame_of(security(31337, Odd="x"))
    assert frame["class_uid"].to_list() == [0]
    assert frame["unmapped.Odd"].to_list() == ["x"]


def test_a_real_data_set_is_read_whole() -> None:
    file = next(shared_data("otrf").rglob("cmd_service_mod_fax.zip"))
    with zipfile.ZipFile(file) as archive:
        text = archive.read(archive.namelist()[0])
    found = list(parse([text]))
    assert sum(f.frame.height for f in found) == 437
    assert not any(f.rejects for f in found)
    assert sum(f.frame["time"].null_count() for f in found) == 0


def test_the_hosts_own_address_is_the_devices() -> None:
    nxlog = {**LAYOUTS["nxlog"], "MessageSourceAddress": "10.1.2.3"}
    beat = {**LAYOUTS["winlogbeat"], "host": {"ip": ["fe80::1", "10.1.2.4", "10.9.9.9"]}}
    lines = b"\n".join(json.dumps(r).encode() for r in (nxlog, beat, LAYOUTS["evtx_dump"]))
    frame = pl.concat([p.frame for p in parse([lines])], how="diagonal_relaxed")
    assert frame["device.ip"].to_list() == ["10.1.2.3", "10.1.2.4", None]
