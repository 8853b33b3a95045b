"""See that a port that begins to answer the internet is signalled, and a known one is not."""

from typing import Any

from detectors import new_service
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

DAY = 1_440


def flow(minute: int, port: int, state: str = "closed", src: str = "203.0.113.9") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 4001,
        "activity_id": 2,
        "src_endpoint.ip": src,
        "dst_endpoint.ip": "10.0.0.8",
        "dst_endpoint.port": port,
        "connection_info.protocol_name": "tcp",
        "connection_info.state": state,
        "traffic.bytes_in": 0 if state == "refused" else 900,
    }


def found(*rows: dict[str, Any]) -> list[Finding]:
    return fold(new_service, batches(frame_of([flow(0, 443), *rows]), [1]))[1]


def test_a_new_port_that_answers_is_signalled_once() -> None:
    (claim,) = found(flow(2 * DAY, 8443), flow(2 * DAY + 1, 8443))
    assert claim.title == "10.0.0.8 answers the internet at port 8443 for the first time"
    assert (claim.kind, claim.entity) == ("signal", "10.0.0.8")


def test_a_known_port_a_refusal_and_a_colleague_are_not_told() -> None:
    assert found(flow(2 * DAY, 443)) == []
    assert found(flow(2 * DAY, 8443, "refused")) == []
    assert found(flow(2 * DAY, 8443, src="10.0.0.9")) == []


def test_the_first_day_only_teaches() -> None:
    assert found(flow(5, 8443), flow(2 * DAY, 8443)) == []
