"""See that one hour to one outside address is added up, and a routine is not told."""

from typing import Any

from detectors import bulk_upload
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

MB = 1_000_000


def _flow(minute: float, megabytes: int, **more: object) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + int(minute * MINUTE_US),
        "class_uid": 4001,
        "activity_id": 6,
        "src_endpoint.ip": "10.0.0.9",
        "dst_endpoint.ip": "203.0.113.7",
        "traffic.bytes_out": megabytes * MB,
        **more,
    }


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(bulk_upload, batches(frame_of(rows), []))[1]


def test_flows_of_an_hour_are_added_up() -> None:
    assert _found([_flow(0, 60), _flow(20, 39)]) == []
    (claim,) = _found([_flow(0, 60), _flow(20, 40), _flow(25, 90)])
    assert (claim.kind, claim.entity) == ("signal", "10.0.0.9")
    assert len(claim.event_ids) == 2


def test_other_hours_and_addresses_are_not_added() -> None:
    other = {"dst_endpoint.ip": "203.0.113.8"}
    assert _found([_flow(0, 60), _flow(1, 60, **other), _flow(90, 60)]) == []


def test_traffic_within_the_house_is_not_told() -> None:
    assert _found([_flow(0, 900, **{"dst_endpoint.ip": "10.0.0.2"})]) == []


def test_a_backup_is_routine_after_three_days() -> None:
    assert len(_found([_flow(1440 * day, 2_000) for day in range(12)])) == 3


def test_less_than_half_of_what_a_source_sends_a_day_is_not_told() -> None:
    busy = [_flow(30 * n, 90, **{"dst_endpoint.ip": f"198.51.100.{n % 40}"}) for n in range(48 * 3)]
    assert _found([*busy, _flow(1440 * 3, 1_000)]) == []
    assert len(_found([*busy, _flow(1440 * 3, 3_000)])) == 1


def test_the_host_and_the_person_at_its_desktop_are_named() -> None:
    seat = {
        "tenant_id": "acme",
        "time_us": START_US - MINUTE_US,
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1,
        "logon_type_id": 2,
        "device.hostname": "WS-17",
        "device.ip": "10.0.0.9",
        "user.name": "CORP\\Ann.Lee",
    }
    (claim,) = _found([seat, _flow(0, 200)])
    assert (claim.entity_type, claim.entity) == ("host", "ws-17")
    assert {("ip", "10.0.0.9"), ("user", "ann.lee")} <= set(claim.links)


def test_very_much_to_somewhere_new_is_a_finding_once_the_source_is_known() -> None:
    assert _found([_flow(0, 6_000)])[0].kind == "signal"
    known = [_flow(1440 * day, 1, **{"dst_endpoint.ip": "198.51.100.1"}) for day in range(8)]
    (claim,) = _found([*known, _flow(1440 * 8, 6_000)])
    assert (claim.kind, claim.level) == ("finding", "medium")
