"""See what an answered connection from outside tells, and what a scan does not."""

from collections.abc import Mapping
from typing import Any

from detectors import exposure
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

DAY = 24 * 60


def _flow(minute: int, port: int = 3389, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 4001,
        "activity_id": 6,
        "src_endpoint.ip": "203.0.113.7",
        "dst_endpoint.ip": "10.0.0.5",
        "dst_endpoint.port": port,
        "traffic.bytes_in": 900,
        "metadata.product.name": "zeek",
        **(told or {}),
    }


def _found(*rows: dict[str, Any]) -> list[Finding]:
    return fold(exposure, batches(frame_of(rows), []))[1]


def test_a_door_of_administration_is_graver_than_a_web_port() -> None:
    door, web = _found(_flow(0), _flow(1, 443))
    assert (door.level, door.kind, door.entity_type, door.entity) == (
        "medium",
        "signal",
        "ip",
        "10.0.0.5",
    )
    assert web.level == "low"
    assert "port 3389" in door.title


def test_it_is_told_once_a_day_for_each_port_and_for_no_more_than_eight() -> None:
    assert len(_found(*(_flow(n) for n in range(5)))) == 1
    assert len(_found(_flow(0), _flow(DAY), _flow(2 * DAY))) == 3
    assert len(_found(*(_flow(n, 1000 + n) for n in range(40)))) == exposure.PORTS


def test_unanswered_inside_and_outgoing_traffic_exposes_nothing() -> None:
    assert _found(_flow(0, told={"traffic.bytes_in": 0})) == []
    assert _found(_flow(0, told={"status_id": 2})) == []
    assert _found(_flow(0, told={"src_endpoint.ip": "10.0.0.9"})) == []
    assert _found(_flow(0, told={"dst_endpoint.ip": "198.51.100.1"})) == []


def test_a_windows_log_names_its_host_by_who_opened() -> None:
    own = {"metadata.product.name": "windows", "device.hostname": "FS-01", "traffic.bytes_in": None}
    (told,) = _found(_flow(0, told=own | {"unmapped.Initiated": "false"}))
    assert (told.entity_type, told.entity) == ("host", "FS-01")
    assert ("ip", "10.0.0.5") in told.links
    assert _found(_flow(0, told=own | {"unmapped.Initiated": "true"})) == []
