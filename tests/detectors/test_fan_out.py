"""See that many first administrations in an hour are claimed, and a management server's are not."""

from typing import Any

from detectors import fan_out
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

HOUR = START_US // 3_600_000_000 * 3_600_000_000


def flow(minute: int, src: str, dst: str, port: int = 445, state: str = "closed") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": HOUR + minute * MINUTE_US,
        "class_uid": 4001,
        "activity_id": 2,
        "src_endpoint.ip": src,
        "dst_endpoint.ip": dst,
        "dst_endpoint.port": port,
        "connection_info.state": state,
    }


def found(rows: list[dict[str, Any]]) -> list[Finding]:
    first = flow(0, "10.0.0.5", "10.0.0.6", 22)
    return fold(fan_out, batches(frame_of([first, *rows]), [len(rows) // 2]))[1]


def spread(day: int, hosts: int = 12, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [flow(day * 1_440 + n, "10.0.0.66", f"10.0.1.{n}", **more) for n in range(hosts)]


def test_ten_machines_new_to_it_within_an_hour_are_told() -> None:
    (claim,) = found(spread(day=2))
    assert (claim.entity, claim.level, claim.event_count) == ("10.0.0.66", "high", 10)
    assert ("ip", "10.0.1.9") in claim.links


def test_a_server_that_reached_them_before_is_not_told() -> None:
    assert found([*spread(day=0), *spread(day=2)]) == []


def test_nine_machines_other_ports_and_failures_are_not_told() -> None:
    assert found(spread(day=2, hosts=9)) == []
    assert found(spread(day=2, port=443)) == []
    assert found(spread(day=2, state="refused")) == []


def test_the_first_day_only_teaches() -> None:
    assert found(spread(day=0, hosts=50)) == []
