"""See that only a new device in a new country is told, and only of known accounts."""

from typing import Any

from detectors import new_device
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _sign_in(minute: int, device: str, country: str | None, user: str = "ann") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1,
        "user.name": f"{user}@corp.example",
        "src_endpoint.ip": "203.0.113.9",
        "device.uid": device,
        "unmapped.location.country": country,
    }


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(new_device, batches(frame_of(rows), []))[1]


def test_a_new_device_in_a_new_country_is_a_signal() -> None:
    (claim,) = _found([_sign_in(0, "pc", "DE"), _sign_in(9, "x", "BR")])
    assert (claim.kind, claim.entity) == ("signal", "ann")
    assert ("device", "x") in claim.links


def test_a_new_phone_at_home_and_the_laptop_on_a_journey_are_not_told() -> None:
    assert _found([_sign_in(0, "pc", "DE"), _sign_in(9, "phone", "DE")]) == []
    assert _found([_sign_in(0, "pc", "DE"), _sign_in(9, "pc", "BR")]) == []
    assert _found([_sign_in(0, "pc", "DE"), _sign_in(9, "x", None)]) == []


def test_the_first_sign_in_is_learned_and_failures_are_not() -> None:
    failed = _sign_in(5, "x", "BR") | {"status_id": 2}
    assert _found([_sign_in(0, "x", "BR")]) == []
    assert len(_found([_sign_in(0, "pc", "DE"), failed, _sign_in(9, "x", "BR")])) == 1


def test_it_is_told_once() -> None:
    rows = [_sign_in(0, "pc", "DE"), *(_sign_in(9 + n, "x", "BR") for n in range(5))]
    assert len(_found(rows)) == 1
