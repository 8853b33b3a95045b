"""What a sender writes never passes for what the house says, nor hides its neighbours."""

import json
from typing import Any

import pytest

from pipelines.formats import detect_format
from pipelines.parsing import parse_stream
from tests.walks import raw
from tests.walks.path import NOW_US, batches, findings, rule_id

FORGED: dict[str, Any] = {
    "tenant_id": "evil",
    "event_id": "00000000-0000-7000-8000-000000000000",
    "ingested_at": "1999-01-01T00:00:00Z",
    "source": "evil",
    "position": 99,
    "is_late": True,
    "is_time_clamped": True,
    "category_uid": 9,
    "unmapped": {"tenant_id": "evil"},
    "metadata.log_format": "evil",
}
EVENTS = {
    "ocsf_json": raw.OCSF_PROCESS,
    "ecs_json": raw.ECS_PROCESS,
    "windows_json": raw.FLAT_SYSMON,
    "zeek_json": raw.ZEEK_RDP,
    "suricata_eve": raw.EVE_DNS,
    "cloudtrail": raw.TRAIL_STOPPED,
    "business_documents": raw.PAYMENT,
}
TEXTS = {
    "auditd": raw.AUDITD_SHELL,
    "syslog": raw.SSHD_ROOT,
    "zeek_tsv": raw.ZEEK_DNS,
    "cef": raw.CEF_RDP,
    "business_documents": raw.BANK_CHANGE,
    "windows_json": raw.ndjson(raw.FLAT_SYSMON),
}


@pytest.mark.parametrize("log_format", EVENTS)
def test_the_envelope_is_never_the_senders(log_format: str) -> None:
    (batch,) = batches(raw.ndjson(EVENTS[log_format] | FORGED, EVENTS[log_format]), log_format)
    frame = batch.frame
    assert frame["tenant_id"].to_list() == ["acme", "acme"]
    assert frame["source"].to_list() == ["walk", "walk"]
    assert frame["position"].to_list() == [0, 1]
    assert not frame["is_late"].any()
    assert frame["metadata.log_format"].unique().to_list() == [log_format]
    assert FORGED["event_id"] not in frame["event_id"].to_list()
    assert frame["ingested_at"].dt.epoch("us").unique().to_list() == [NOW_US]


def test_an_audit_record_cannot_name_the_columns_of_the_house() -> None:
    line = raw.AUDITD_SHELL.replace(
        b'key="exec"', b"position=9 tenant_id=evil severity_id=6 time=1"
    )
    (one,) = findings(line)
    assert (one.rule_id, one.tenant_id) == (rule_id("linux_reverse_shell"), "acme")
    (batch,) = batches(line)
    assert batch.frame["severity_id"].unique().to_list() == [1]


@pytest.mark.parametrize("log_format", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_text_of_windows_tools_is_read_by_its_encoding(log_format: str, encoding: str) -> None:
    text = TEXTS[log_format].decode().replace("\n", "\r\n").encode(encoding)
    assert detect_format(text) == log_format
    wide = [f.rule_id for f in findings(text)]
    assert wide == [f.rule_id for f in findings(TEXTS[log_format])] != []


@pytest.mark.parametrize("time", [-1, "NaN", 1e300, 10**25, "0001-01-01T00:00:00Z", "", [1, 2], {}])
def test_an_absurd_time_is_the_arrival_and_says_so(time: object) -> None:
    line = json.dumps({"class_uid": 1007, "time": time}).encode() + b"\n"
    (batch,) = batches(line, "ocsf_json")
    assert batch.frame["time"].dt.epoch("us").to_list() == [NOW_US]
    assert batch.frame["unmapped._time_missing"].to_list() == ["true"]


def test_a_year_before_1970_in_syslog_is_no_time() -> None:
    (batch,) = batches(b"<38>1 0001-01-01T00:00:00Z h app - - - x\n")
    assert batch.frame["time"].dt.epoch("us").to_list() == [NOW_US]


def test_numbers_that_no_port_process_or_class_has_are_null() -> None:
    event = {
        "class_uid": 2**31 - 1,
        "time": 1714550400000,
        "src_endpoint": {"port": 70_000, "ip": "fe80::1%eth0"},
        "dst_endpoint": {"port": -5, "ip": "::ffff:10.0.0.1"},
        "process": {"pid": -3},
        "traffic": {"bytes_in": 10**40},
    }
    (batch,) = batches(raw.ndjson(event), "ocsf_json")
    (row,) = batch.frame.to_dicts()
    gone = ("src_endpoint.port", "dst_endpoint.port", "process.pid", "traffic.bytes_in")
    assert [row.get(name) for name in gone] == [None] * 4
    assert (row["class_uid"], row["unmapped.class_uid"]) == (0, str(2**31 - 1))
    assert (row["src_endpoint.ip"], row["dst_endpoint.ip"]) == ("fe80::1", "10.0.0.1")


def test_an_inside_address_written_as_ipv6_is_still_inside() -> None:
    line = raw.CEF_RDP.replace(b"192.0.2.9", b"::ffff:10.1.1.9")
    assert findings(line) == []


def test_signs_of_a_terminal_stay_within_their_value() -> None:
    name = "eve\n\x1b[31mroot\u202e\0"
    (batch,) = batches(raw.ndjson(raw.OCSF_PROCESS | {"user": {"name": name}}))
    assert batch.frame["user.name"].to_list() == [name.replace("\0", "\ufffd")]


def test_a_user_name_cannot_forge_the_address_of_a_failed_sign_in() -> None:
    line = (
        b"May  1 08:00:00 h sshd[1]: Failed password for invalid user root from 1.1.1.1 port 1 ssh2"
        b" from 9.9.9.9 port 22 ssh2\n"
    )
    (batch,) = batches(line)
    assert batch.frame["src_endpoint.ip"].to_list() == ["9.9.9.9"]


@pytest.mark.parametrize("log_format", EVENTS)
def test_an_object_without_a_field_is_refused_alone(log_format: str) -> None:
    text = b"{}\n" + raw.ndjson(EVENTS[log_format])
    (found,) = parse_stream(
        log_format, [text], tenant_id="acme", source="walk", ingested_at_us=NOW_US
    )
    assert [r.reason for r in found[1]] == ["object without a field"]
    assert found[0].frame["position"].to_list() == [1]
