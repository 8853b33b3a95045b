"""See that writes from new places and stops are claimed, and the operator station's are not."""

from typing import Any

from detectors import controller_write
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

DAY = 1_440


def call(
    minute: int, src: str, function: str = "write single coil", *, write: bool = True
) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 0,
        "activity_id": 0,
        "metadata.log_name": "modbus",
        "src_endpoint.ip": src,
        "dst_endpoint.ip": "10.9.0.1",
        "unmapped.function": function,
        "unmapped.is_request": "true",
        "unmapped.is_write": str(write).lower(),
    }


def found(*rows: dict[str, Any]) -> list[Finding]:
    first = call(0, "10.9.0.50")
    return fold(controller_write, batches(frame_of([first, *rows]), [1]))[1]


def test_a_write_from_a_new_place_is_told_once() -> None:
    (claim,) = found(call(2 * DAY, "10.0.0.66"), call(2 * DAY + 1, "10.0.0.66"))
    assert claim.title == "10.0.0.66 sent 'write single coil' to the controller 10.9.0.1"
    assert (claim.level, claim.attack) == ("medium", ("T0855",))


def test_the_operator_station_may_write_and_everybody_may_read() -> None:
    assert found(call(2 * DAY, "10.9.0.50")) == []
    assert found(call(2 * DAY, "10.0.0.66", "read coils", write=False)) == []


def test_the_first_day_only_teaches_but_a_stop_is_told_at_once() -> None:
    assert found(call(5, "10.0.0.66")) == []
    (claim,) = found(call(5, "10.0.0.66", "cold restart"))
    assert (claim.level, claim.attack) == ("high", ("T0858",))


def test_answers_are_not_told() -> None:
    answer = call(2 * DAY, "10.0.0.66") | {"unmapped.is_request": "false"}
    assert found(answer) == []
