"""See that a command is tied to the sign-in that most likely ran it."""

from typing import Any

from detectors import remote_execution
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _row(minute: float, class_uid: int, host: str = "SRV-1", **fields: object) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in fields.items()}
    at = {"tenant_id": "acme", "time_us": START_US + int(minute * MINUTE_US)}
    return {**at, "class_uid": class_uid, "activity_id": 1, "device.hostname": host, **named}


def _came(minute: float, ip: str, user: str = "adm", kind: int = 3) -> dict[str, Any]:
    more: dict[str, Any] = {
        "status_id": 1,
        "logon_type_id": kind,
        "src_endpoint__ip": ip,
        "user__name": user,
    }
    return _row(minute, 3002, **more)


def _service(minute: float, path: str) -> dict[str, Any]:
    return _row(minute, 201004, metadata__event_code="7045", unmapped__ImagePath=path)


ODD = "%COMSPEC% /Q /c whoami"


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(remote_execution, batches(frame_of(rows), []))[1]


def test_a_service_after_a_sign_in_is_a_signal_with_both() -> None:
    (claim,) = _found([_came(0, "10.0.0.9"), _service(2, ODD)])
    assert (claim.kind, claim.entity, len(claim.event_ids)) == ("signal", "srv-1", 2)
    assert {("ip", "10.0.0.9"), ("user", "adm")} <= set(claim.links)


def test_the_way_never_gone_before_is_told_first() -> None:
    usual = [_came(-60 + n, "10.0.0.5", "bob") for n in range(20)]
    (claim,) = _found([*usual, _came(0, "10.0.0.9"), _came(1, "10.0.0.5", "bob"), _service(2, ODD)])
    assert ("ip", "10.0.0.9") in claim.links
    assert ("ip", "10.0.0.5") not in claim.links


def test_shells_of_wmi_count_and_ordinary_services_do_not() -> None:
    shell = {
        "process__file__path": "C:\\Windows\\System32\\cmd.exe",
        "process__parent_process__file__path": "C:\\Windows\\System32\\wbem\\WmiPrvSE.exe",
    }
    assert len(_found([_came(0, "10.0.0.9"), _row(1, 1007, **shell)])) == 1
    program = "C:\\Program Files\\Example\\agent.exe"
    assert _found([_came(0, "10.0.0.9"), _service(1, program)]) == []


def test_long_after_elsewhere_or_at_the_desk_is_not_tied() -> None:
    assert _found([_came(0, "10.0.0.9"), _service(11, ODD)]) == []
    assert _found([_came(0, "10.0.0.9", kind=2), _service(1, ODD)]) == []
    assert _found([_came(0, "10.0.0.9") | {"device.hostname": "other"}, _service(1, ODD)]) == []
